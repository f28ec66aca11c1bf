// The marks at a plot's right edge by which its four limits are set: drag, arrow keys, Delete; beyond the edge is "none".
import { el, svg } from "./dom.js";

const KINDS = [
  { key: "warn_max", kind: "warn", side: "max", words: "warn above", column: 0 },
  { key: "reject_max", kind: "reject", side: "max", words: "reject above", column: 1 },
  { key: "warn_min", kind: "warn", side: "min", words: "warn below", column: 0 },
  { key: "reject_min", kind: "reject", side: "min", words: "reject below", column: 1 },
];
export const GUTTER_PX = 34;
const PARK_PX = 9;

export class Limits {
  // values: {warn_max: …} in shown units; changed(key, value|null, final)
  constructor(cloud, label, text, changed) {
    this.cloud = cloud;
    this.text = text;
    this.changed = changed;
    this.values = {};
    this.grips = KINDS.map((kind) => this.#grip(kind, label));
  }

  set(values) {
    this.values = values;
    this.place();
  }

  place() {
    const { over } = this.cloud;
    const left = over.offsetLeft + over.offsetWidth;
    const top = over.offsetTop;
    const [low, high] = this.cloud.yRange;
    for (const { kind, grip, line } of this.grips) {
      const value = this.values[kind.key];
      const isSet = value !== null && value !== undefined;
      const share = isSet ? (value - low) / (high - low) : kind.side === "max" ? 1 : 0;
      const y = (1 - Math.min(1, Math.max(0, share))) * over.offsetHeight;
      grip.style.left = `${left + 9 + 16 * kind.column}px`;
      grip.style.top = `${top + y}px`;
      grip.dataset.set = isSet ? "yes" : "no";
      grip.tabIndex = isSet ? 0 : -1;
      grip.setAttribute("aria-valuemin", String(low));
      grip.setAttribute("aria-valuemax", String(high));
      grip.setAttribute("aria-valuenow", String(isSet ? value : kind.side === "max" ? high : low));
      grip.setAttribute("aria-valuetext", isSet ? this.text(value) : "none");
      grip.title = `${kind.words}: ${isSet ? this.text(value) : "none, drag to set"}`;
      line.hidden = !isSet || share < 0 || share > 1;
      line.style.left = `${over.offsetLeft}px`;
      line.style.width = `${over.offsetWidth + 4 + 16 * kind.column}px`;
      line.style.top = `${top + y}px`;
    }
  }

  #grip(kind, label) {
    const shape = kind.side === "max" ? "M1.500 3h12L7.500 13z" : "M1.500 12h12L7.500 2z";
    const grip = el("div", {
      class: `grip grip-${kind.kind}`, role: "slider", "aria-orientation": "vertical", "aria-label": `${label}: ${kind.words}`, "data-key": kind.key,
      onpointerdown: (event) => this.#drag(event, kind, grip),
      onkeydown: (event) => this.#key(event, kind),
    }, svg("svg", { viewBox: "0 0 15 15", "aria-hidden": "true" }, svg("path", { d: shape })));
    const line = el("div", { class: `grip-line grip-${kind.kind}`, hidden: true });
    this.cloud.host.append(line, grip);
    return { kind, grip, line };
  }

  #drag(event, kind, grip) {
    event.preventDefault();
    grip.focus({ preventScroll: true });
    grip.setPointerCapture(event.pointerId);
    grip.classList.add("moving");
    const move = (moved) => {
      const box = this.cloud.over.getBoundingClientRect();
      const y = moved.clientY - box.top;
      const parked = kind.side === "max" ? y < -PARK_PX : y > box.height + PARK_PX;
      this.#change(kind, parked ? null : this.cloud.plot.posToVal(Math.min(box.height, Math.max(0, y)), "y"), false);
    };
    const end = () => {
      grip.classList.remove("moving");
      grip.removeEventListener("pointermove", move);
      this.changed(kind.key, this.values[kind.key] ?? null, true);
    };
    grip.addEventListener("pointermove", move);
    grip.addEventListener("lostpointercapture", end, { once: true });
  }

  #key(event, kind) {
    const [low, high] = this.cloud.yRange;
    const step = ((high - low) / 100) * (event.shiftKey ? 10 : 1);
    const now = this.values[kind.key] ?? (kind.side === "max" ? high : low);
    if (event.key === "ArrowUp") this.#change(kind, now + step, true);
    else if (event.key === "ArrowDown") this.#change(kind, now - step, true);
    else if (event.key === "Delete" || event.key === "Backspace") this.#change(kind, null, true);
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  // A lower limit never passes the upper one of its kind.
  #change(kind, value, final) {
    if (value !== null) {
      const other = this.values[`${kind.kind}_${kind.side === "max" ? "min" : "max"}`];
      if (other !== null && other !== undefined) value = kind.side === "max" ? Math.max(value, other) : Math.min(value, other);
    }
    this.values = { ...this.values, [kind.key]: value };
    this.changed(kind.key, value, final);
    this.place();
  }
}
