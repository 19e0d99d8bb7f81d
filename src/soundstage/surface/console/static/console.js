(() => {
  "use strict";
  const STORED = "soundstage-token";
  const token = () => sessionStorage.getItem(STORED);
  const authorised = (headers) => (token() ? { ...headers, authorization: "Bearer " + token() } : headers);
  const element = (id) => document.getElementById(id);

  // With a token every page is fetched, since a link cannot carry one.
  async function visit(href, push) {
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

  // An example names no namespace that exists; those that do are offered, and the first is taken.
  async function offer(choice, untouched) {
    const reply = await fetch("/status.json", { headers: authorised({ accept: "application/json" }) });
    if (!reply.ok) return;
    const names = (await reply.json()).namespaces
      .filter((each) => each.abstraction === choice.dataset.abstraction).map((each) => each.name);
    if (!names.length) return;
    choice.replaceChildren(...names.map((each) => new Option(each)));
    choice.parentElement.hidden = false;
    if (untouched) name(names[0]);
    else choice.value = JSON.parse((element("request").value.match(NAMED) || ['""'])[0].replace(/^"namespace"\s*:/, ""));
  }

  function arrive() {
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

  async function call(form) {
    const outcome = element("outcome");
    const request = element("request").value;
    history.replaceState(null, "", "#request=" + encodeURIComponent(request));
    outcome.className = "soft";
    outcome.textContent = "…";
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
    } catch (error) {
      outcome.textContent = "the stage did not answer: " + error.message;
      outcome.className = "bad";
    }
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
  document.addEventListener("keydown", (event) => {
    if (event.target.id === "request" && event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
      event.target.form.requestSubmit();
    }
  });
  document.addEventListener("click", (event) => {
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

  if (element("login") && token()) visit(location.href, false);
  else arrive();
})();
