// Elements made safely: text is always text. Requests with the page's token.

const SVG = "http://www.w3.org/2000/svg";

export function el(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

export function svg(tag, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

export function icon(name) {
  return svg("svg", { class: "icon", "aria-hidden": "true" }, svg("use", { href: `#i-${name}` }));
}

export function toast(words, bad = false) {
  const place = document.getElementById("toasts");
  const box = el("div", { class: bad ? "toast bad" : "toast" }, words);
  place.append(box);
  setTimeout(() => box.remove(), bad ? 9000 : 4500);
}

export function token() {
  return document.querySelector('meta[name="passerelle-token"]').content;
}

export async function getJson(address) {
  const response = await fetch(address, { headers: { accept: "application/json" } });
  if (response.status === 401) location.reload(); // the page itself leads to the form
  if (!response.ok) throw new Error(await errorWords(response));
  return response.json();
}

export async function post(address, body) {
  const response = await fetch(address, {
    method: "POST",
    headers: { "content-type": "application/json", "X-Passerelle-Token": token() },
    body: JSON.stringify(body),
  });
  if (!response.ok) throw new Error(await errorWords(response));
}

async function errorWords(response) {
  return wordsOf(await response.text(), response.status);
}

export function wordsOf(text, status) {
  try {
    const { message, advice } = JSON.parse(text).error;
    return advice ? `${message} ${advice}` : message;
  } catch {
    return status ? `The service answered with ${status}.` : "The service does not answer.";
  }
}

export function typing(event) {
  const target = event.target;
  return event.ctrlKey || event.metaKey || event.altKey || (target instanceof Element && target.closest("input, select, textarea, dialog[open]"));
}
