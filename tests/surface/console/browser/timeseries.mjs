// Somebody looks at the page of time series, chooses a slice, and asks for the events of an id; what is seen, as JSON.
import { readFileSync } from "node:fs";
import { opened, until } from "./document.mjs";

const { page, base, ask } = JSON.parse(readFileSync(0, "utf8"));
const document = opened(page, base, "/console/timeseries");
const [slices, partitions, events] = [0, 1, 2].map((number) => document.getElementById("panel-" + number));
await until(() => document.getElementById("looked").textContent.startsWith("as of"), "all panels");

const cells = (place) => place.querySelectorAll("tr").map((row) => row.children.map((each) => each.textContent));
const trouble = [slices, partitions, events].map((each) => each.querySelector(".trouble")).filter((each) => !each.hidden);
const seen = {
  namespaces: document.getElementById("shown").options.map((each) => each.textContent),
  trouble: trouble.map((each) => each.textContent),
  slices: cells(slices.querySelector("tbody")),
  bars: slices.querySelectorAll(".track .bar").map((each) => ({ kind: each.className, ...each.style })),
  chosen: partitions.querySelector(".which").value,
  histogram: partitions.querySelectorAll("dd").map((each) => each.textContent),
  about: partitions.querySelectorAll("p").at(-1).textContent,
};

const first = slices.querySelectorAll(".span button").at(-1);
first.click();
const form = events.querySelector("form"), { elements } = form;
seen.pressed = slices.querySelectorAll("button[aria-pressed='true']").map((each) => each.dataset.label);
seen.interval = [elements["time_interval.start"].value, elements["time_interval.end"].value];
seen.picked = partitions.querySelector(".which").value === first.dataset.label;

seen.pages = [];
for (const asked of ask) {
  for (const [name, value] of Object.entries(asked)) elements[name].value = value;
  form.submit();
  for (;;) {
    const place = events.querySelector(".drawn");
    await until(() => place.getAttribute("aria-busy") === "false", "a page of events");
    const trouble = events.querySelector(".trouble");
    seen.pages.push({ said: events.querySelector(".asked").textContent, rows: cells(place), text: place.textContent, trouble: trouble.hidden ? "" : trouble.textContent });
    const onward = events.querySelector(".onward");
    if (onward.hidden) break;
    onward.click();
  }
}
console.log(JSON.stringify(seen));
