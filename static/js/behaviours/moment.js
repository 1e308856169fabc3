// Times in the reader's zone, or as ages that grow; one timer for all of them, and no traffic.
const shown = new Set(), FIXED = new Set(["full", "clock"]);
const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false });
const full = new Intl.DateTimeFormat(undefined, { year: "numeric", month: "short", day: "numeric", hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false, timeZoneName: "short" });

export function length(milliseconds) {
  const s = Math.max(0, milliseconds) / 1000;
  if (s < 10) return `${s.toFixed(1)} s`;
  const [d, h, m] = [Math.floor(s / 86400), Math.floor(s / 3600) % 24, Math.floor(s / 60) % 60];
  const two = number => String(number).padStart(2, "0");
  if (d) return `${d}d ${two(h)}h ${two(m)}m`;
  if (h) return `${h}h ${two(m)}m ${two(Math.floor(s) % 60)}s`;
  return m ? `${m}m ${two(Math.floor(s) % 60)}s` : `${Math.floor(s)} s`;
}

function coarse(milliseconds) {
  const s = Math.round(Math.abs(milliseconds) / 1000);
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min`;
  if (s < 86400) return `${Math.floor(s / 3600)} h ${Math.floor(s / 60) % 60} min`;
  return `${Math.floor(s / 86400)} d ${Math.floor(s / 3600) % 24} h`;
}

const HOW = {
  full: at => full.format(at),
  clock: at => `${clock.format(at)}.${String(at.getMilliseconds()).padStart(3, "0")}`,
  ago: (at, now) => (now - at < 1500 ? "just now" : `${coarse(now - at)} ago`),
  since: (at, now) => `for ${coarse(now - at)}`,
  until: (at, now) => (at > now ? `in ${coarse(at - now)}` : `${coarse(now - at)} overdue`),
  growing: (at, now) => length(now - at),
};

export function refresh(element, now = Date.now()) {
  if (!element.dateTime) return;                                       // it has ended, and became a plain text
  const at = new Date(element.dateTime);
  const text = (HOW[element.dataset.how] ?? HOW.full)(at, now);
  if (element.textContent !== text) element.textContent = text;
}

export function mount(element) {
  element.title = full.format(new Date(element.dateTime));
  refresh(element);
  shown.add(element);
  return () => shown.delete(element);
}

setInterval(() => {
  if (document.hidden) return;
  const now = Date.now();
  for (const element of shown) {
    if (!element.isConnected) shown.delete(element);
    else if (!FIXED.has(element.dataset.how)) refresh(element, now);
  }
}, 1000);
