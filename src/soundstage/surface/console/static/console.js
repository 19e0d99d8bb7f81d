(() => {
  "use strict";
  const STORED = "soundstage-token";
  const token = () => sessionStorage.getItem(STORED);
  const authorised = (headers) => (token() ? { ...headers, authorization: "Bearer " + token() } : headers);
  const element = (id) => document.getElementById(id);

  // With a token every page is fetched, since a link cannot carry one.
  async function visit(href, push) {
    leave();
    const reply = await fetch(href, { headers: authorised({ accept: "text/html, application/json;q=0.9" }) });
    const text = await reply.text();
    if (push) history.pushState(null, "", href);
    const type = reply.headers.get("content-type") || "";
    if (type.startsWith("text/html")) {
      const page = new DOMParser().parseFromString(text, "text/html");
      document.title = page.title;
      document.querySelector("main").replaceWith(page.querySelector("main"));
    } else {
      const shown = document.createElement("pre");
      shown.textContent = type.includes("json") ? laidOut(text) : text;
      document.querySelector("main").replaceChildren(shown);
    }
    arrive();
    return reply.status;
  }

  const NAMED = /("namespace"\s*:\s*)"(?:[^"\\]|\\.)*"/;
  function name(namespace) {
    const request = element("request");
    request.value = request.value.replace(NAMED, (_, key) => key + JSON.stringify(namespace));
  }

  // An example names no namespace that exists; those that do are offered, and the one that was used last is taken.
  const LAST = "soundstage-namespace-";
  async function offer(choice, untouched) {
    const reply = await fetch("/status.json", { headers: authorised({ accept: "application/json" }) });
    if (!reply.ok) return;
    const names = (await reply.json()).namespaces
      .filter((each) => each.abstraction === choice.dataset.abstraction).map((each) => each.name);
    if (!names.length) return;
    choice.replaceChildren(...names.map((each) => new Option(each)));
    choice.parentElement.hidden = false;
    const last = sessionStorage.getItem(LAST + choice.dataset.abstraction);
    if (untouched) name(choice.value = names.includes(last) ? last : names[0]);
    else choice.value = JSON.parse((element("request").value.match(NAMED) || ['""'])[0].replace(/^"namespace"\s*:/, ""));
  }

  function arrive() {
    panels();
    element("forget").hidden = !token();
    for (const link of document.querySelectorAll("body > header a")) {
      if (link.pathname === location.pathname) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    }
    const request = element("request"), choice = element("namespace");
    if (choice) offer(choice, !location.hash.startsWith("#request="));
    if (request && location.hash.startsWith("#request=")) {
      request.value = decodeURIComponent(location.hash.slice("#request=".length));
    } else if (location.hash) {
      element(location.hash.slice(1))?.scrollIntoView();
    }
  }

  async function login() {
    const refused = element("refused");
    sessionStorage.setItem(STORED, element("token").value.trim());
    try {
      if ((await visit(location.href, false)) !== 401) return;
    } catch {
      // A token that no header can carry is as good as an unknown one.
    }
    sessionStorage.removeItem(STORED);
    arrive();
    (element("refused") || refused).textContent = "This stage does not know the token.";
  }

  function tell(kind, text) {
    const outcome = element("outcome");
    if (!outcome) return;
    outcome.className = kind;
    outcome.textContent = text;
  }

  // What is being followed; whoever leaves the page, stops, or begins anew ends it.
  let following = null;
  function leave() {
    following?.abort();
    following = null;
    if (element("stop")) element("stop").hidden = true;
  }

  const pause = (seconds, signal) => new Promise((go) => {
    const timer = setTimeout(go, seconds * 1000);
    signal.addEventListener("abort", () => { clearTimeout(timer); go(); });
  });

  async function* lines(reply) {
    const reader = reply.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "";
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      const parts = (rest + value).split("\n");
      rest = parts.pop();
      for (const part of parts) if (part) yield part;
    }
  }

  // Every message of a feed as text; goes on after its last cursor when the connection is lost.
  async function* messages(path, request, signal) {
    let cursor = null, wait = 1;
    while (!signal.aborted) {
      let problem = null;
      try {
        const headers = { "content-type": "application/json", accept: "application/x-ndjson" };
        if (cursor !== null) headers["last-event-id"] = cursor;
        const reply = await fetch(path, { method: "POST", headers: authorised(headers), body: request, signal });
        if (!reply.ok) problem = await reply.json();
        else for await (const line of lines(reply)) {
          const message = JSON.parse(line);
          if (message.problem) { problem = message.problem; break; }
          wait = 1;
          cursor = message.cursor ?? cursor;
          if (Object.keys(message).some((name) => name !== "cursor")) yield [line, message];
        }
        if (!problem) return;
      } catch (error) {
        if (signal.aborted) return;
        problem = { detail: "the stage did not answer: " + error.message, retryable: true };
      }
      if (!problem.retryable) throw problem;
      tell("bad", problem.detail + "; trying again in " + wait + " s");
      await pause(wait, signal);
      wait = Math.min(2 * wait, 30);
    }
  }

  const SHOWN_MAX = 500;
  function show(line) {
    const entry = document.createElement("li"), whole = document.createElement("details");
    const short = document.createElement("summary"), laid = document.createElement("pre");
    const time = document.createElement("time");
    time.textContent = new Date().toLocaleTimeString([], { hour12: false });
    short.append(time, " ", line.length > 400 ? line.slice(0, 400) + "…" : line);
    whole.addEventListener("toggle", () => { laid.textContent = laidOut(line); }, { once: true });
    whole.append(short, laid);
    entry.append(whole);
    const list = element("messages");
    list.prepend(entry);
    while (list.children.length > SHOWN_MAX) list.lastElementChild.remove();
  }

  async function follow(path, request) {
    const { signal } = (following = new AbortController());
    element("messages").replaceChildren();
    element("stop").hidden = false;
    let count = 0;
    const state = () => count + (count === 1 ? " message" : " messages");
    tell("soft", "waiting");
    try {
      for await (const [line] of messages(path, request, signal)) {
        count++;
        show(line);
        tell("good", "following, " + state());
      }
      if (element("outcome")) tell("soft", (signal.aborted ? "stopped after " : "ended after ") + state());
    } catch (problem) {
      tell("bad", problem.detail);
      show(JSON.stringify(problem));
    }
    if (following?.signal === signal) leave();
  }

  // A link cannot carry a token, so the file is fetched and then saved.
  async function save(file) {
    const reply = await fetch("/v1/blobs/" + encodeURIComponent(file.blob), { headers: authorised({}) });
    if (!reply.ok) return tell("bad", "the file was refused with " + reply.status);
    const saved = document.createElement("a");
    saved.href = URL.createObjectURL(await reply.blob());
    saved.download = file.name;
    saved.click();
    setTimeout(() => URL.revokeObjectURL(saved.href), 60_000);
  }

  function link(file) {
    const entry = document.createElement("li"), button = document.createElement("button");
    button.type = "button";
    button.textContent = "Save " + file.name + " (" + file.size.toLocaleString() + " bytes)";
    button.onclick = () => save(file);
    entry.append(button);
    return entry;
  }

  async function post(path, message) {
    const headers = authorised({ "content-type": "application/json", accept: "application/json" });
    const reply = await fetch(path, { method: "POST", headers, body: message });
    return [reply, await reply.text()];
  }

  async function start(path, request) {
    const { signal } = (following = new AbortController());
    const [reply, text] = await post(path, request);
    element("reply").textContent = laidOut(text);
    element("files").replaceChildren();
    explain(reply.ok ? "" : text);
    if (!reply.ok) return tell("bad", String(reply.status));
    const named = JSON.stringify({ job_id: JSON.parse(text).job_id }), bar = element("progress"), stop = element("stop");
    stop.hidden = bar.hidden = false;
    stop.onclick = () => post("/v1/jobs/cancel", named);
    try {
      for await (const [line, { job: info }] of messages("/v1/jobs/watch", named, signal)) {
        const { done, total, unit, note } = info.progress ?? {};
        if (total) { bar.max = total; bar.value = done; } else bar.removeAttribute("value");
        const counted = done ? " " + done.toLocaleString() + (total ? " of " + total.toLocaleString() : "") : "";
        tell(info.state === "failed" ? "bad" : "soft", info.state + counted + (unit ? " " + unit : "") + (note ? ", " + note : ""));
        element("reply").textContent = laidOut(line);
        if (["succeeded", "failed", "cancelled"].includes(info.state)) break;
      }
      if (signal.aborted) return;
      const [ended, result] = await post("/v1/jobs/result", named);
      element("reply").textContent = laidOut(result);
      const { state, error, files } = JSON.parse(result);
      explain(error ? JSON.stringify(error) : "");
      tell(state === "succeeded" ? "good" : "bad", error?.detail ?? state ?? "ended with " + ended.status);
      element("files").replaceChildren(...(files ?? []).map(link));
    } catch (problem) {
      tell("bad", problem.detail ?? String(problem));
    }
    if (signal.aborted) return;
    stop.hidden = bar.hidden = true;
  }

  async function call(form) {
    const outcome = element("outcome");
    const request = element("request").value;
    history.replaceState(null, "", "#request=" + encodeURIComponent(request));
    outcome.className = "soft";
    outcome.textContent = "…";
    leave();
    if (form.dataset.kind === "feed") return follow(form.dataset.path, request);
    if (form.dataset.kind === "job") return start(form.dataset.path, request);
    const began = performance.now();
    try {
      const reply = await fetch(form.dataset.path, {
        method: "POST",
        headers: authorised({ "content-type": "application/json", accept: "application/json" }),
        body: request,
      });
      const text = await reply.text();
      outcome.textContent = reply.status + " in " + (performance.now() - began).toFixed(1) + " ms";
      outcome.className = reply.ok ? "good" : "bad";
      element("reply").textContent = text.length > 1e6 ? text : laidOut(text);
      explain(reply.ok ? "" : text);
      if (reply.ok) remember(request);
      tabulate(reply.ok ? text : "{}", form.dataset.rows, JSON.parse(form.dataset.bytes));
    } catch (error) {
      outcome.textContent = "the stage did not answer: " + error.message;
      outcome.className = "bad";
    }
  }

  // What went wrong and what to do about it, in words; the whole problem stands below as it came.
  function explain(text) {
    const place = element("problem");
    let problem = null;
    try { problem = text && JSON.parse(text); } catch { /* What is no JSON explains nothing. */ }
    place.hidden = !problem?.detail;
    if (place.hidden) return;
    const hint = document.createElement("span");
    hint.className = "soft";
    hint.textContent = problem.hint ? " " + problem.hint : "";
    place.replaceChildren((problem.field ? problem.field + ": " : "") + problem.detail + ".", hint);
  }

  // JSON.parse would change integers beyond 2^53, so they are made text first.
  function exact(json) {
    let out = "", at = 0;
    for (const found of json.matchAll(/"(?:[^"\\]|\\.)*"|-?\d{16,}(?![\d.eE])/g)) {
      out += json.slice(at, found.index) + (found[0][0] === '"' ? found[0] : '"' + found[0] + '"');
      at = found.index + found[0].length;
    }
    return JSON.parse(out + json.slice(at));
  }

  function flat(value, path, into) {
    for (const [name, inner] of Object.entries(value)) {
      const place = path ? path + "." + name : name;
      if (inner !== null && typeof inner === "object" && !Array.isArray(inner)) flat(inner, place, into);
      else into[place] = inner;
    }
    return into;
  }

  // Bytes as text where they are some.
  function readable(value) {
    try {
      const text = new TextDecoder("utf-8", { fatal: true }).decode(Uint8Array.from(atob(value), (each) => each.charCodeAt(0)));
      return /^[^\x00-\x08\x0b-\x1f\x7f]*$/.test(text) ? text : value;
    } catch { return value; }
  }

  function cell(value, path, bytes) {
    if (value === null || value === undefined) return "";
    if (typeof value === "string") return shortened(bytes.includes(path) ? readable(value) : value);
    if (Array.isArray(value)) return listed(value, path, bytes);
    return shortened(typeof value === "object" ? JSON.stringify(value) : String(value));
  }
  const shortened = (text) => (text.length > 200 ? text.slice(0, 200) + "…" : text);

  // A list, an element a line; one of two fields is a name and its value.
  const LINES_MAX = 20;
  function listed(values, path, bytes) {
    const shown = values.slice(0, LINES_MAX).map((each) => {
      if (each === null || typeof each !== "object" || Array.isArray(each)) return cell(each, path, bytes);
      const fields = Object.entries(flat(each, path, {})).map(([name, inner]) => [name.slice(path.length + 1), cell(inner, name, bytes)]);
      return fields.length === 2 ? fields.map(([, inner]) => inner).join(": ") : fields.map((field) => field.join(" ")).join(", ");
    });
    if (values.length > LINES_MAX) shown.push("… " + (values.length - LINES_MAX).toLocaleString() + " more");
    return shown.join("\n");
  }

  const ROWS_MAX = 1000;
  // The list of a reply that is called `name`, row by row; nothing where it has none.
  function tabulate(text, name, bytes) {
    const place = element("rows"), next = element("next");
    place.replaceChildren();
    next.hidden = true;
    let reply = null;
    try { reply = exact(text); } catch { return; }
    if (reply.next_page_token) { next.hidden = false; next.value = reply.next_page_token; }
    const table = tabulated(text, name, bytes);
    if (table) place.append(table);
  }

  // The elements of that list as a table; null where there are none.
  function tabulated(text, name, bytes) {
    const elements = exact(text)[name] ?? [];
    if (!elements.length) return null;
    const rows = elements.slice(0, ROWS_MAX).map((each) => flat(each, name, {}));
    const columns = [...new Set(rows.flatMap(Object.keys))];
    const table = document.createElement("table"), head = table.insertRow();
    for (const column of columns) {
      const title = document.createElement("th");
      const short = column.split(".").pop(), alone = columns.filter((each) => each.endsWith("." + short)).length === 1;
      title.textContent = alone ? short : column.slice(name.length + 1);
      title.title = column;
      head.append(title);
    }
    for (const row of rows) {
      const line = table.insertRow();
      for (const column of columns) {
        const shown = cell(row[column], column, bytes), data = line.insertCell();
        if (column.endsWith(".job_id")) data.append(linked("/console/jobs/get", { job_id: shown }, shown));
        else data.textContent = shown;
        if (shown.includes("\n")) data.className = "lines";
      }
    }
    return table;
  }

  function linked(path, request, text) {
    const found = document.createElement("a");
    found.href = path + "#request=" + encodeURIComponent(JSON.stringify(request));
    found.textContent = text;
    return found;
  }

  // The same request from where the page ended.
  function turn(token) {
    const request = element("request"), page = exact(request.value);
    request.value = laidOut(JSON.stringify({ ...page, page_token: token }));
    request.form.requestSubmit();
  }

  // Numbers beyond 2^53 would change if they were parsed, so the text is only laid out.
  function laidOut(json) {
    let out = "", depth = 0, quoted = false;
    const line = () => "\n" + "  ".repeat(depth);
    for (let at = 0; at < json.length; at++) {
      const sign = json[at];
      if (quoted) {
        out += sign;
        if (sign === "\\") out += json[++at];
        else if (sign === '"') quoted = false;
      } else if (sign === '"') { quoted = true; out += sign; }
      else if (sign === "{" || sign === "[") { depth++; out += sign + ("}]".includes(json[at + 1]) ? "" : line()); }
      else if (sign === "}" || sign === "]") { depth--; out += ("{[".includes(json[at - 1]) ? "" : line()) + sign; }
      else if (sign === ",") out += sign + line();
      else out += sign === ":" ? ": " : sign;
    }
    return out;
  }

  document.addEventListener("submit", (event) => {
    event.preventDefault();
    if (event.target.id === "login") login();
    else if (event.target.id === "call") call(event.target);
  });
  document.addEventListener("change", (event) => { if (event.target.id === "namespace") name(event.target.value); });
  function remember(request) {
    const choice = element("namespace"), named = request.match(NAMED);
    if (choice && named) sessionStorage.setItem(LAST + choice.dataset.abstraction, JSON.parse(named[0].replace(/^"namespace"\s*:/, "")));
  }
  document.addEventListener("keydown", (event) => {
    if (event.target.id === "request" && event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
      event.target.form.requestSubmit();
    }
  });
  document.addEventListener("click", (event) => {
    if (event.target.id === "next") turn(event.target.value);
    if (event.target.id === "stop" && event.target.form.dataset.kind === "feed") leave();
    if (event.target.id === "forget") {
      sessionStorage.removeItem(STORED);
      location.assign("/");
    }
    const link = event.target.closest("a[href^='/']");
    if (link && token() && !event.ctrlKey && !event.metaKey && !event.shiftKey && event.button === 0) {
      event.preventDefault();
      visit(link.getAttribute("href"), true).then(() => location.hash || scrollTo(0, 0));
    }
  });
  addEventListener("popstate", () => { if (token()) visit(location.href, false); });

  const panels = systemPage({ element, post, exact, tabulated, authorised });
  if (element("login") && token()) visit(location.href, false);
  else arrive();
})();
