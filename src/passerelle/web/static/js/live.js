// The stream of changes. Tells the page by `passerelle:change` on the body, gathered so that a burst is one redraw,
// and says plainly when what is shown is not live any more.
import { duration } from "./format.js";
import { toast } from "./dom.js";

const GATHER_MS = 600;
const SILENT_MS = 12000; // the server beats every 4 s
const HIDDEN_MS = 30000; // browsers allow six connections a server: pages that nobody sees give theirs back

export function connect(label) {
  const { session, cursor } = document.body.dataset;
  let last = cursor;
  let heard = Date.now();
  let source = null;
  let gathered = null;
  let hiddenTimer = null;

  function tell() {
    const detail = gathered;
    gathered = null;
    document.body.dispatchEvent(new CustomEvent("passerelle:change", { detail }));
  }

  function note(change) {
    // a growing file changes nothing that a page shows, many times a second
    if ((change.movie_id ?? null) === null && /^(file|folder|link)/.test(change.kind ?? "")) return;
    if (!gathered) {
      gathered = { movies: new Set(), kinds: new Set(), all: false };
      setTimeout(tell, GATHER_MS);
    }
    if (change.movie_id !== null && change.movie_id !== undefined) gathered.movies.add(change.movie_id);
    if (change.kind) gathered.kinds.add(change.kind);
    if (change.all) gathered.all = true;
  }

  function show(state, words) {
    if (label.dataset.live === state && label.lastElementChild.textContent === words) return;
    if (state === "no" && label.dataset.live === "yes") toast("Not live: no word from the service. What is shown may be out of date.", true);
    label.dataset.live = state;
    label.lastElementChild.textContent = words;
  }

  function open() {
    const query = new URLSearchParams({ after: last });
    if (session) query.set("session", session);
    source = new EventSource(`/api/events?${query}`);
    const alive = () => { heard = Date.now(); show("yes", "live"); };
    source.addEventListener("open", alive);
    source.addEventListener("beat", alive);
    source.addEventListener("change", (event) => {
      alive();
      last = event.lastEventId || last;
      note(JSON.parse(event.data));
    });
    source.addEventListener("reset", (event) => {
      alive();
      last = event.lastEventId || last;
      note({ all: true });
    });
  }

  function shut() {
    source?.close();
    source = null;
  }

  setInterval(() => {
    const silent = Date.now() - heard;
    if (silent > SILENT_MS || (source?.readyState !== EventSource.OPEN && silent > 3000)) {
      show("no", `not live for ${duration(silent / 1000)}`);
      // the browser gives up on an answer that is no stream; a stalled one has to be dropped
      if (source && (source.readyState === EventSource.CLOSED || silent > 3 * SILENT_MS)) {
        shut();
        setTimeout(() => { if (!source) open(); }, 2000);
      }
    }
  }, 1000);

  document.addEventListener("visibilitychange", () => {
    clearTimeout(hiddenTimer);
    if (document.hidden) hiddenTimer = setTimeout(shut, HIDDEN_MS);
    else if (!source) open();
  });
  addEventListener("pageshow", (event) => { if (event.persisted) note({ all: true }); });
  addEventListener("pagehide", shut);
  open();
}
