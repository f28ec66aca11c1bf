// How numbers are written; the same rules as show.py.

export function number(value, digits = 1) {
  if (value === null || value === undefined || !Number.isFinite(value)) return "–";
  const [whole, part] = Math.abs(value).toFixed(digits).split(".");
  const grouped = whole.replace(/\B(?=(\d{3})+$)/g, "\u202f");
  return (value < 0 && Number(value.toFixed(digits)) !== 0 ? "−" : "") + grouped + (part ? "." + part : "");
}

export function metricText(metric, value, withUnit = true) {
  if (value === null || value === undefined) return "–";
  const text = number(value * metric.scale, metric.digits);
  return withUnit && metric.shown_unit ? `${text}\u202f${metric.shown_unit}` : text;
}

export function duration(seconds) {
  seconds = Math.max(0, seconds);
  if (seconds < 9.95) return `${seconds.toFixed(1)} s`;
  if (seconds < 120) return `${seconds.toFixed(0)} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 120) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return `${hours} h ${String(minutes % 60).padStart(2, "0")} min`;
  return `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
const day = new Intl.DateTimeFormat(undefined, { year: "numeric", month: "short", day: "numeric" });

export function moment(at) {
  const then = new Date(at * 1000);
  const today = then.toDateString() === new Date().toDateString();
  return today ? clock.format(then) : `${day.format(then)}, ${clock.format(then)}`;
}

export const MARK_WORDS = {
  accept: "accepted", warn: "warned", reject: "rejected", failed: "failed",
  found: "waiting for its file", queued: "queued", running: "in progress", gone: "file removed",
};
