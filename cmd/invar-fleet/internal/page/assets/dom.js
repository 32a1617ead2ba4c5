// The document as functions. h makes elements, show puts them into the page. It updates
// existing elements and does not replace them: focus, selection, scroll positions and
// input survive a refresh.
//
// Strings become text nodes. No function here turns one into markup.

const SVG = "http://www.w3.org/2000/svg";

// h makes an element. Properties that begin with "on" are handlers, "key" identifies an
// element among its siblings, all others are attributes, unless they are false, null or
// undefined. Children are nodes, strings, numbers, and lists of them. False, null and
// undefined are skipped.
export function h(tag, properties, ...children) {
  return build(document.createElement(tag), properties, children);
}

// s makes an element of SVG.
export function s(tag, properties, ...children) {
  return build(document.createElementNS(SVG, tag), properties, children);
}

function build(element, properties, children) {
  for (const [name, value] of Object.entries(properties || {})) {
    if (value === undefined || value === null || value === false) continue;
    if (name === "key") {
      element.key = String(value);
    } else if (name.startsWith("on")) {
      element[name] = value;
      (element.handlers ||= []).push(name);
    } else {
      element.setAttribute(name, value === true ? "" : String(value));
    }
  }
  element.append(...nodes(children));
  return element;
}

function nodes(children) {
  return children.flat(Infinity)
    .filter((child) => child !== undefined && child !== null && child !== false)
    .map((child) => (child instanceof Node ? child : document.createTextNode(String(child))));
}

// show makes the children of container equal to those given.
export function show(container, ...children) {
  const wanted = nodes(children);
  const keys = new Set(wanted.map((node) => node.key).filter((key) => key !== undefined));
  const keyed = new Map();
  for (const node of [...container.childNodes]) {
    if (node.key === undefined) continue;
    if (keys.has(node.key)) keyed.set(node.key, node);
    else node.remove();
  }
  let at = container.firstChild;
  for (const want of wanted) {
    const have = want.key === undefined ? at : keyed.get(want.key);
    if (!have || have.key !== want.key || have.nodeName !== want.nodeName) {
      container.insertBefore(want, at);
      continue;
    }
    if (have === at) at = at.nextSibling;
    else container.insertBefore(have, at);
    become(have, want);
  }
  while (at) {
    const next = at.nextSibling;
    at.remove();
    at = next;
  }
}

// become updates a node to another one of the same name. What the user did stays: the
// text of a field, the choice of a list, an opened section.
function become(have, want) {
  if (have === want) return;
  if (have.nodeType === Node.TEXT_NODE) {
    if (have.nodeValue !== want.nodeValue) have.nodeValue = want.nodeValue;
    return;
  }
  const opened = have.nodeName === "DETAILS";
  for (const name of have.getAttributeNames()) {
    if (!want.hasAttribute(name) && !(opened && name === "open")) have.removeAttribute(name);
  }
  for (const name of want.getAttributeNames()) {
    const value = want.getAttribute(name);
    if (have.getAttribute(name) !== value && !(opened && name === "open")) have.setAttribute(name, value);
  }
  for (const name of have.handlers || []) have[name] = null;
  for (const name of want.handlers || []) have[name] = want[name];
  have.handlers = want.handlers;
  show(have, ...want.childNodes);
}
