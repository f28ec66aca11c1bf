// The list of movies: filtered, sorted, searched, twenty-five at a time.
import { el, icon } from "./dom.js";
import { MARK_WORDS, metricText, moment, number } from "./format.js";
import { counts, outside } from "./movies.js";

const PAGE = 25;
const SHOWN = ["ctf_resolution_angstrom", "defocus_angstrom", "astigmatism_angstrom", "total_motion_angstrom", "ice_ring_score", "contamination_percent"];
const RANK = { accept: 0, warn: 1, reject: 2, failed: 3, running: 4, queued: 5, found: 6, gone: 7 };
const FILTERS = [["all", "all"], ["accept", "accepted"], ["warn", "warned"], ["reject", "rejected"], ["failed", "failed"], ["todo", "to do"]];

export class MovieTable {
  constructor(movies, metrics) {
    this.movies = movies;
    this.metrics = SHOWN.map((name) => metrics.find((metric) => metric.name === name)).filter(Boolean);
    this.sort = { by: "number", down: true };
    this.filter = "all";
    this.page = 0;
    this.body = el("tbody");
    this.heads = new Map();
    const head = el("tr", {}, this.#head("mark", "Verdict"), this.#head("number", "No.", true), this.#head("name", "Movie"), this.#head("square", "Square"),
      this.#head("time", "Found"), ...this.metrics.map((metric) => this.#head(metric.name, metric.label, true, metric.shown_unit)));
    document.getElementById("table").append(el("table", { class: "table" }, el("thead", {}, head), this.body));
    this.search = document.getElementById("table-search");
    this.search.addEventListener("input", () => this.#first());
    this.pager = document.getElementById("pager");
    this.buttons = FILTERS.map(([key, words]) => {
      const count = el("b");
      const button = el("button", { type: "button", "aria-pressed": "false", "data-filter": key, onclick: () => { this.filter = key; this.#first(); } },
        el("span", { class: `mark mark-${key}` }, key in RANK ? icon(key) : null), ` ${words} `, count);
      document.getElementById("table-filter").append(button);
      return { key, button, count };
    });
  }

  update(marks, limits) {
    this.marks = marks;
    this.limits = limits;
    this.#show();
  }

  #first() {
    this.page = 0;
    this.#show();
  }

  #head(key, words, isNumber = false, unit = "") {
    const cell = el("th", { scope: "col", class: isNumber ? "num" : null }, el("button", { type: "button", onclick: () => {
      this.sort = { by: key, down: this.sort.by === key ? !this.sort.down : key !== "name" && key !== "mark" };
      this.#first();
    } }, words, unit ? el("span", { class: "unit" }, unit) : null));
    this.heads.set(key, cell);
    return cell;
  }

  #value(i) {
    const { columns, metrics } = this.movies;
    switch (this.sort.by) {
      case "mark": return RANK[this.marks[i]];
      case "number": return i;
      case "name": return columns.name[i];
      case "square": return columns.square[i];
      case "time": return columns.found_at[i];
      default: return metrics[this.sort.by]?.[i];
    }
  }

  #wanted() {
    const { columns } = this.movies;
    const words = this.search.value.trim().toLowerCase();
    const found = [];
    for (let i = 0; i < this.movies.length; i++) {
      const mark = this.marks[i];
      if (this.filter === "todo" ? RANK[mark] < 4 || mark === "gone" : this.filter !== "all" && mark !== this.filter) continue;
      if (words && !`${columns.name[i]} ${columns.square[i] ?? ""} ${columns.hole[i] ?? ""}`.toLowerCase().includes(words)) continue;
      found.push(i);
    }
    const keys = new Map(found.map((i) => [i, this.#value(i)]));
    const sign = this.sort.down ? -1 : 1;
    return found.sort((a, b) => {
      const [one, two] = [keys.get(a), keys.get(b)];
      if (one === two) return a - b;
      if (one === null || one === undefined) return 1; // the unmeasured stand last, either way
      if (two === null || two === undefined) return -1;
      return (one < two ? -1 : 1) * sign;
    });
  }

  #show() {
    const wanted = this.#wanted();
    const pages = Math.max(1, Math.ceil(wanted.length / PAGE));
    this.page = Math.min(this.page, pages - 1);
    const part = wanted.slice(this.page * PAGE, (this.page + 1) * PAGE);
    this.body.replaceChildren(...part.map((i) => this.#row(i)));
    if (!part.length) this.body.append(el("tr", {}, el("td", { class: "quiet", colspan: String(5 + this.metrics.length) }, this.movies.length ? "No movie fits this choice." : "No movie found yet.")));
    for (const [key, cell] of this.heads) cell.setAttribute("aria-sort", key === this.sort.by ? (this.sort.down ? "descending" : "ascending") : "none");
    const count = counts(this.marks);
    count.all = this.movies.length;
    for (const { key, button, count: place } of this.buttons) {
      button.setAttribute("aria-pressed", String(key === this.filter));
      place.textContent = number(count[key], 0);
    }
    this.#pages(wanted.length, pages);
  }

  #pages(total, pages) {
    const from = this.page * PAGE + 1;
    const words = total ? `${number(from, 0)}–${number(Math.min(total, from + PAGE - 1), 0)} of ${number(total, 0)}` : "";
    const turn = (by) => () => { this.page += by; this.#show(); };
    this.pager.replaceChildren(el("span", {}, words), pages > 1 ? el("div", { class: "row-actions" },
      el("button", { type: "button", class: "button small", disabled: this.page === 0, onclick: turn(-1) }, "Back"),
      el("button", { type: "button", class: "button small", disabled: this.page >= pages - 1, onclick: turn(1) }, "More")) : "");
  }

  #row(i) {
    const { columns, metrics } = this.movies;
    const mark = this.marks[i];
    return el("tr", { "data-movie": String(columns.id[i]), "data-mark": mark },
      el("td", {}, el("span", { class: `mark mark-${mark}` }, icon(mark), el("span", {}, MARK_WORDS[mark])), columns.chosen[i] ? el("span", { class: "quiet", title: "decided by hand" }, " by hand") : null),
      el("td", { class: "num quiet" }, number(i + 1, 0)),
      el("td", { class: "name", title: columns.name[i] }, el("a", { href: `/movies/${columns.id[i]}` }, columns.name[i])),
      el("td", {}, columns.square[i] ?? "–"),
      el("td", {}, moment(columns.found_at[i])),
      ...this.metrics.map((metric) => {
        const value = metrics[metric.name]?.[i] ?? null;
        const worse = outside(this.limits[metric.name], value);
        return el("td", { class: worse ? `num outside-${worse}` : "num", title: worse ? `beyond the limit: ${worse}` : null }, metricText(metric, value, false));
      }));
  }
}
