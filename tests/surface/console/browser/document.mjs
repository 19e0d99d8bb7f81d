// As much of a browser's document as the console's scripts use: elements, selectors, tables and forms. No layout.

class Element {
  constructor(tag, attributes = {}) {
    this.tag = tag;
    this.attributes = { ...attributes };
    this.nodes = [];
    this.parentElement = null;
    this.style = {};
    this.heard = {};
    const kept = this.attributes;
    this.dataset = new Proxy({}, {
      get: (_, name) => kept["data-" + name],
      set: (_, name, value) => { kept["data-" + name] = String(value); return true; },
    });
  }

  get children() { return this.nodes.filter((each) => each instanceof Element); }
  get lastElementChild() { return this.children.at(-1); }
  get className() { return this.attributes.class ?? ""; }
  set className(name) { this.attributes.class = name; }
  get id() { return this.attributes.id ?? ""; }
  get name() { return this.attributes.name ?? ""; }
  get hidden() { return "hidden" in this.attributes; }
  set hidden(is) { if (is) this.attributes.hidden = ""; else delete this.attributes.hidden; }
  get pathname() { return this.attributes.href ?? ""; }
  get textContent() { return this.nodes.map((each) => (each instanceof Element ? each.textContent : each)).join(""); }
  set textContent(text) { this.replaceChildren(...(text === "" ? [] : [String(text)])); }

  get options() { return this.all("option"); }
  get value() { return this.tag === "select" ? this.chosen ?? this.options[0]?.value ?? "" : this.attributes.value ?? ""; }
  set value(value) {
    if (this.tag !== "select") this.attributes.value = String(value);
    else this.chosen = this.options.some((each) => each.value === String(value)) ? String(value) : "";
  }
  get elements() {
    return Object.fromEntries(this.all("input").concat(this.all("textarea"), this.all("select")).map((each) => [each.name, each]));
  }

  append(...added) {
    for (const each of added) {
      const node = each instanceof Element ? each : String(each);
      if (node instanceof Element) { node.remove(); node.parentElement = this; }
      this.nodes.push(node);
    }
  }
  replaceChildren(...added) {
    for (const each of this.children) each.parentElement = null;
    this.nodes = [];
    this.append(...added);
  }
  remove() {
    if (!this.parentElement) return;
    this.parentElement.nodes = this.parentElement.nodes.filter((each) => each !== this);
    this.parentElement = null;
  }
  make(tag) { const made = new Element(tag); this.append(made); return made; }
  createTHead() { return this.make("thead"); }
  createTBody() { return this.make("tbody"); }
  insertRow() { return this.make("tr"); }
  insertCell() { return this.make("td"); }

  getAttribute(name) { return this.attributes[name] ?? null; }
  setAttribute(name, value) { this.attributes[name] = String(value); }
  removeAttribute(name) { delete this.attributes[name]; }
  addEventListener(kind, does) { (this.heard[kind] ??= []).push(does); }
  click() { this.onclick?.({ target: this }); }
  submit() {
    for (const does of this.heard.submit ?? []) does({ target: this, preventDefault() {}, stopPropagation() {} });
  }

  all(selector) { return this.querySelectorAll(selector); }
  querySelector(selector) { return this.querySelectorAll(selector)[0] ?? null; }
  querySelectorAll(selector) {
    const found = [];
    const look = (element) => {
      for (const each of element.children) {
        if (matches(each, selector, this)) found.push(each);
        look(each);
      }
    };
    look(this);
    return found;
  }
}

const ONE = /^([a-z0-9]*)((?:[#.][\w-]+|\[[\w-]+\^?='[^']*'\])*)$/;
function is(element, simple) {
  const [, tag, rest] = simple.match(ONE) ?? [];
  if (rest === undefined) throw new Error("no selector of this document: " + simple);
  if (tag && element.tag !== tag) return false;
  return (rest.match(/[#.][\w-]+|\[[^\]]+\]/g) ?? []).every((part) => {
    if (part[0] === "#") return element.id === part.slice(1);
    if (part[0] === ".") return element.className.split(" ").includes(part.slice(1));
    const [, name, begins, value] = part.match(/^\[([\w-]+)(\^?)='([^']*)'\]$/);
    const given = element.getAttribute(name);
    return given !== null && (begins ? given.startsWith(value) : given === value);
  });
}

function matches(element, selector, within) {
  const parts = selector.split(/\s+/), last = parts.pop();
  if (!is(element, last)) return false;
  let above = element.parentElement, child = false;
  while (parts.length) {
    const part = parts.pop();
    if (part === ">") { child = true; continue; }
    while (above && !is(above, part)) above = child ? null : above.parentElement;
    if (!above) return false;
    above = above.parentElement;
    child = false;
  }
  return within !== null;
}

// A page as Python read it: [tag, attributes, [children or text]].
export function built([tag, attributes, nodes]) {
  const made = new Element(tag, attributes);
  made.append(...nodes.map((each) => (typeof each === "string" ? each : built(each))));
  return made;
}

// The names that a page's scripts find; requests go to the server at `base`.
export function opened(page, base, path) {
  const document = built(page);
  document.getElementById = (id) => document.querySelector("[id='" + id + "']");
  document.createElement = (tag) => new Element(tag);
  const kept = new Map();
  const names = {
    document,
    location: { pathname: path, hash: "", href: base + path },
    history: { replaceState() {}, pushState() {} },
    sessionStorage: { getItem: (name) => kept.get(name) ?? null, setItem: (name, value) => kept.set(name, value), removeItem: (name) => kept.delete(name) },
    fetch: (to, options) => fetch(new URL(to, base), options),
    Option: class extends Element {
      constructor(text, value = text) { super("option", { value }); this.append(text); }
    },
    addEventListener() {},
    scrollTo() {},
  };
  const script = document.querySelector("script").textContent;
  new Function(...Object.keys(names), script)(...Object.values(names));
  return document;
}

export async function until(done, what) {
  const ends = Date.now() + 30_000;
  while (!done()) {
    if (Date.now() > ends) throw new Error("never seen: " + what);
    await new Promise((go) => setTimeout(go, 5));
  }
}
