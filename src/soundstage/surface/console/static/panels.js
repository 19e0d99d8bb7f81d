// The page of a system: what its operations reply for one namespace, drawn as its panels say.
const systemPage = (tools) => {
  "use strict";
  const { element, post, exact, tabulated, authorised } = tools;
  const LAST = "soundstage-namespace-";
  const SPANS_MAX = 200;
  const FAR = 10;

  const at = (value, path) => path.split(".").reduce((inner, name) => inner?.[name], value);
  const make = (name, text, kind) => {
    const made = document.createElement(name);
    if (text !== undefined) made.textContent = text;
    if (kind) made.className = kind;
    return made;
  };

  function size(bytes) {
    const units = ["bytes", "KiB", "MiB", "GiB", "TiB"];
    let unit = 0;
    for (; bytes >= 1024 && unit < units.length - 1; unit++) bytes /= 1024;
    return (unit && bytes < 100 ? bytes.toPrecision(3) : Math.round(bytes)) + " " + units[unit];
  }
  const shown = (value, kind) =>
    value === undefined || value === null ? "–" : kind === "bytes" ? size(Number(value)) : Number(value).toLocaleString();

  // Years before 1 and after 9999 are where a slice has no end; Date would refuse them.
  const when = (text) => { const time = Date.parse(text); return Number.isNaN(time) ? null : time; };
  const short = (text) => text.slice(0, 16).replace("T", " ");

  let page = null;

  function trouble(section, problem) {
    const place = section.querySelector(".trouble");
    place.hidden = !problem;
    place.textContent = problem ? (problem.detail ?? String(problem)) + (problem.hint ? " · " + problem.hint : "") : "";
  }

  async function ask(operation, request) {
    const [reply, text] = await post("/v1/" + page.system + "/" + operation, JSON.stringify({ namespace: page.namespace, ...request }));
    let answer = null;
    try { answer = exact(text); } catch { answer = { detail: "the stage answered " + reply.status }; }
    if (!reply.ok) throw answer;
    return [answer, text];
  }

  // One call for all panels that show the same reply.
  function asked(operation) {
    return (page.replies[operation] ??= ask(operation, {}).then(([answer]) => answer));
  }

  function choose(row, panel) {
    for (const other of page.panels) {
      const section = other.section;
      if (other.type === "bars") {
        const which = section.querySelector(".which");
        which.value = at(row, panel.label);
        if (which.value) bars(other);
      }
      for (const field of other.fields ?? []) {
        if (field.span) section.querySelector("[name='" + field.name + "']").value = row[field.span];
      }
    }
    for (const button of document.querySelectorAll("#panels .span button")) {
      button.setAttribute("aria-pressed", button.dataset.label === at(row, panel.label));
    }
  }

  async function spans(panel) {
    const place = panel.section.querySelector(".drawn");
    const rows = at(await asked(panel.operation), panel.rows) ?? [];
    if (!rows.length) return place.replaceChildren(make("p", panel.empty, "empty"));
    const last = rows.slice(-SPANS_MAX).reverse();
    let sizes = new Map();
    if (panel.sizes) {
      try {
        const found = at(await asked(panel.sizes.operation), panel.sizes.rows) ?? [];
        sizes = new Map(found.map((row) => [at(row, panel.sizes.label), row]));
      } catch (problem) { trouble(panel.section, problem); }
    }
    const columns = panel.sizes?.columns ?? [];
    const now = Date.now(), day = 86400e3, finite = last.filter((row) => row.end.slice(0, 4) < "2200" && row.start.slice(0, 4) > "1700");
    const times = finite.flatMap((row) => [when(at(row, panel.start)), when(at(row, panel.end))]).filter((time) => time !== null);
    // Slices of long ago would be a speck at the edge of a line that goes on to now.
    const first = Math.min(...times), end = Math.max(...times), near = !times.length || (now > first - FAR * (end - first) && now < end + FAR * (end - first));
    const from = near ? Math.min(now - day, ...times) : first, to = near ? Math.max(now + day / 24, ...times) : end, part = (time) => (100 * (time - from)) / (to - from);
    const largest = Math.max(1, ...last.map((row) => Number(at(sizes.get(at(row, panel.label)), columns[0]?.[0] ?? "") ?? 0)));
    const table = make("table"), head = table.createTHead().insertRow();
    for (const title of ["time", "", "state"]) head.append(make("th", title));
    const own = panel.columns ?? [];
    for (const [, title] of [...columns, ...own]) head.append(make("th", title, "number"));
    const axis = head.children[1];
    axis.className = "axis";
    axis.append(make("span", short(new Date(from).toISOString())), make("span", short(new Date(to).toISOString())));
    const body = table.createTBody();
    for (const row of last) {
      const line = body.insertRow(), sized = sizes.get(at(row, panel.label));
      line.className = "span";
      const name = line.insertCell(), button = make("button", short(at(row, panel.start)) + " – " + short(at(row, panel.end)));
      button.type = "button";
      button.dataset.label = button.title = at(row, panel.label);
      button.setAttribute("aria-pressed", "false");
      button.onclick = () => choose(row, panel);
      name.append(button);
      const track = make("div", undefined, "track"), bar = make("div", undefined, "bar " + at(row, panel.state)), mark = make("div", undefined, "now");
      const low = Math.max(0, part(when(at(row, panel.start)) ?? from)), high = Math.min(100, part(when(at(row, panel.end)) ?? to));
      const weight = Number(at(sized, columns[0]?.[0] ?? "") ?? 0) / largest;
      bar.style.left = low + "%";
      bar.style.width = "max(3px, " + (high - low) + "%)";
      bar.style.height = 25 + 75 * Math.sqrt(weight) + "%";
      mark.style.left = part(now) + "%";
      track.append(bar, ...(near ? [mark] : []));
      line.insertCell().append(track);
      line.insertCell().append(make("span", at(row, panel.state), "tag"));
      for (const [path, , kind] of columns) line.append(make("td", shown(at(sized, path), kind), "number"));
      for (const [path, , kind] of own) line.append(make("td", shown(at(row, path), kind), "number"));
    }
    const wrap = make("div", undefined, "wrap rows");
    wrap.tabIndex = 0;
    wrap.append(table);
    const notes = rows.length > last.length ? [make("p", "The newest " + last.length + " of " + rows.length + ".", "soft")] : [];
    place.replaceChildren(wrap, ...notes);
  }

  async function bars(panel) {
    const place = panel.section.querySelector(".drawn"), which = panel.section.querySelector(".which");
    const rows = at(await asked(panel.operation), panel.rows) ?? [];
    const names = rows.map((row) => at(row, panel.label));
    if (names.join() !== [...which.options].map((each) => each.value).join()) {
      const before = which.value;
      which.replaceChildren(...rows.map((row) => new Option(short(row.start) + " – " + short(row.end), at(row, panel.label))));
      const full = rows.filter((row) => at(row, panel.buckets)?.length);
      which.value = names.includes(before) ? before : at(full[full.length - 1] ?? rows[rows.length - 1], panel.label) ?? "";
      which.onchange = () => bars(panel);
    }
    which.parentElement.hidden = !rows.length;
    const row = rows.find((each) => at(each, panel.label) === which.value), buckets = at(row, panel.buckets) ?? [];
    if (!buckets.length) return place.replaceChildren(make("p", panel.empty, "empty"));
    const most = Math.max(...buckets.map((each) => each[panel.count]));
    const list = make("dl", undefined, "bars");
    for (const each of buckets) {
      const bar = make("div", undefined, "bar"), value = make("dd");
      bar.style.width = Math.max(0.5, (100 * each[panel.count]) / most) + "%";
      value.append(bar, make("span", each[panel.count].toLocaleString()));
      list.append(make("dt", size(each[panel.at]) + " and up"), value);
    }
    const table = make("table"), names_ = Object.keys(at(row, panel.tables[0][0]) ?? {}), head = table.insertRow();
    head.append(make("th", ""), ...names_.map((each) => make("th", each, "number")));
    for (const [path, title, kind] of panel.tables) {
      const line = table.insertRow();
      line.append(make("th", title), ...names_.map((each) => make("td", shown(at(row, path)?.[each], kind), "number")));
    }
    const wrap = make("div", undefined, "wrap");
    wrap.append(table);
    place.replaceChildren(list, wrap, make("p", seen(row), "soft"));
  }

  const seen = (row) => (row.share_seen === 1
    ? (row.partitions_seen === 1 ? "The one partition was measured" : "All " + row.partitions_seen.toLocaleString() + " partitions were measured")
    : row.partitions_seen.toLocaleString() + " partitions were measured, " + (100 * row.share_seen).toPrecision(2) + " % of about " + (row.partitions ?? 0).toLocaleString())
    + " at " + short(row.surveyed_at) + ".";

  const bytes = (text) => btoa(String.fromCharCode(...new TextEncoder().encode(text)));

  function requested(panel) {
    const request = {};
    for (const field of panel.fields) {
      const text = panel.section.querySelector("[name='" + field.name + "']").value.trim();
      if (!text) continue;
      let value = text;
      if (field.kind === "number") value = Number(text);
      if (field.kind === "pairs") {
        value = text.split("\n").filter((line) => line.trim()).map((line) => {
          const cut = line.indexOf("=");
          if (cut < 1) throw { detail: "a filter is KEY=VALUE, and this is not: " + line };
          return { [field.keys[0]]: line.slice(0, cut).trim(), [field.keys[1]]: bytes(line.slice(cut + 1)) };
        });
      }
      const names = field.name.split("."), leaf = names.pop();
      names.reduce((inner, name) => (inner[name] ??= {}), request)[leaf] = value;
    }
    return request;
  }

  async function query(panel, token) {
    const section = panel.section, place = section.querySelector(".drawn"), said = section.querySelector(".asked");
    const onward = section.querySelector(".onward"), began = performance.now(), mine = (panel.turn = (panel.turn ?? 0) + 1);
    trouble(section, null);
    onward.hidden = true;
    said.textContent = "reading …";
    place.setAttribute("aria-busy", "true");
    try {
      const request = token ? { ...panel.last, page_token: token } : (panel.last = requested(panel));
      const [answer, text] = await ask(panel.operation, request);
      if (panel.turn !== mine) return;
      const form = await formOf(panel.operation), count = answer[form.rows]?.length ?? 0;
      panel.page = token ? panel.page + 1 : 1;
      said.textContent = count.toLocaleString() + (count === 1 ? " row" : " rows") + " on page " + panel.page + ", " + (performance.now() - began).toFixed(0) + " ms";
      const wrap = make("div", undefined, "wrap rows"), table = tabulated(text, form.rows, form.bytes);
      wrap.tabIndex = 0;
      if (table) wrap.append(table);
      place.replaceChildren(table ? wrap : make("p", answer.next_page_token ? "Nothing on this page; there is more." : panel.empty, "empty"));
      onward.hidden = !answer.next_page_token;
      onward.onclick = () => query(panel, answer.next_page_token);
    } catch (problem) {
      if (panel.turn !== mine) return;
      said.textContent = "";
      place.replaceChildren();
      trouble(section, problem instanceof Error ? { detail: "the stage did not answer: " + problem.message } : problem);
    } finally { place.setAttribute("aria-busy", "false"); }
  }

  async function formOf(operation) {
    return (page.forms[operation] ??= await (await fetch("/console/" + page.system + "/" + operation + ".json", { headers: authorised({ accept: "application/json" }) })).json());
  }

  const DRAW = { spans, bars };
  async function draw() {
    const mine = page, said = element("looked");
    page.replies = {};
    said.textContent = "loading …";
    await Promise.all(page.panels.map(async (panel) => {
      panel.section.hidden = false;
      if (!DRAW[panel.type]) return;
      const place = panel.section.querySelector(".drawn");
      trouble(panel.section, null);
      place.setAttribute("aria-busy", "true");
      if (!place.children.length) place.replaceChildren(make("p", "loading …", "empty"));
      try { await DRAW[panel.type](panel); } catch (problem) {
        place.replaceChildren();
        trouble(panel.section, problem instanceof Error ? { detail: "the stage did not answer: " + problem.message } : problem);
      }
      place.setAttribute("aria-busy", "false");
    }));
    if (page === mine && element("looked")) said.textContent = "as of " + new Date().toLocaleTimeString([], { hour12: false });
  }

  function begin(panel) {
    const form = panel.section.querySelector("form");
    if (!form) return;
    for (const field of panel.fields) {
      if (field.kind === "instant") form.elements[field.name].value = new Date(Date.now() + field.offset_s * 1000).toISOString().slice(0, 19) + "Z";
    }
    form.addEventListener("submit", (event) => { event.preventDefault(); event.stopPropagation(); query(panel); });
  }

  async function names(system) {
    const reply = await fetch("/status.json", { headers: authorised({ accept: "application/json" }) });
    if (!reply.ok) throw new Error(String(reply.status));
    return (await reply.json()).namespaces.filter((each) => each.abstraction === system).map((each) => each.name);
  }

  // Called whenever a page is there; most are none of these.
  return async () => {
    const place = element("panels");
    page = null;
    if (!place) return;
    const mine = (page = { system: place.dataset.system, forms: {}, replies: {} });
    page.panels = JSON.parse(place.dataset.panels).map((panel, number) => ({ ...panel, section: element("panel-" + number) }));
    page.panels.forEach(begin);
    const choice = element("shown"), again = element("again");
    let found = [];
    try { found = await names(page.system); } catch (problem) {
      element("looked").textContent = "the stage did not answer: " + problem.message;
      return;
    }
    if (page !== mine) return;
    if (!found.length) {
      element("looked").textContent = "";
      element("none").hidden = false;
      return;
    }
    choice.replaceChildren(...found.map((each) => new Option(each)));
    const wanted = decodeURIComponent(location.hash.slice(1)), last = sessionStorage.getItem(LAST + page.system);
    choice.value = found.includes(wanted) ? wanted : found.includes(last) ? last : found[0];
    choice.disabled = again.disabled = false;
    choice.onchange = () => {
      page.namespace = choice.value;
      sessionStorage.setItem(LAST + page.system, choice.value);
      history.replaceState(null, "", "#" + encodeURIComponent(choice.value));
      for (const drawn of place.querySelectorAll(".drawn")) drawn.replaceChildren();
      for (const said of place.querySelectorAll(".asked")) said.textContent = "";
      for (const onward of place.querySelectorAll(".onward")) onward.hidden = true;
      draw();
    };
    again.onclick = draw;
    page.namespace = choice.value;
    await draw();
  };
};
