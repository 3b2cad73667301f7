"use strict";
(() => {
  const source = document.getElementById("relations-data");
  if (!source) return;
  const data = JSON.parse(source.textContent);
  const names = data.names, K = names.length, by = id => document.getElementById(id);
  const map = by("map"), pixels = by("pixels"), signed = x => (x < 0 ? "−" : "+") + Math.abs(x).toFixed(2);
  let levels = null, steps = null, row = 0, column = 0;

  // The values of all pairs, out of a picture in which each is a pixel.
  const read = image => {
    const canvas = document.createElement("canvas");
    canvas.width = canvas.height = K;
    const context = canvas.getContext("2d", { willReadFrequently: true });
    context.drawImage(image, 0, 0);
    const four = context.getImageData(0, 0, K, K).data, one = new Uint8Array(K * K);
    for (let k = 0; k < one.length; k++) one[k] = four[4 * k];
    return { canvas, one };
  };

  const cosine = (i, j) => data.low + (data.high - data.low) * (levels.one[i * K + j] - 1) / 254;

  const ordinal = n => n === 1 ? "" : n + (n % 100 >= 11 && n % 100 <= 13 ? "th" : ["th", "st", "nd", "rd"][n % 10] || "th") + " ";

  const rank = (i, j) => {  // the lists know it exactly; beyond them levels may tie
    const listed = data.nearest[i].indexOf(j);
    if (listed >= 0) return ordinal(listed + 1);
    let nearer = 0;
    for (let k = 0; k < K; k++) nearer += k !== i && levels.one[i * K + k] > levels.one[i * K + j];
    return "about " + ordinal(nearer + 1);
  };

  const steady = (i, j) => {
    const off = steps.one[Math.min(i, j) * K + Math.max(i, j)] * data.most;
    const word = off < data.spread / 2 ? "steady" : off < data.spread ? "varies" : "unsteady, as two pairs drawn at random";
    return `Over ${data.seeds} seeds ±${off.toFixed(2)}: ${word}.`;
  };

  const taken = (i, j) => {
    const found = data.people[i].find(([k]) => k === j);
    return found ? (found[1] / 10).toFixed(1) + "%" : "hardly";
  };

  const facts = (i, j) => {
    const lines = [`${names[j]} is the ${rank(i, j)}nearest of ${names[i]}, ${names[i]} the ${rank(j, i)}nearest of ${names[j]}.`];
    if (steps) lines.push(steady(i, j));
    if (data.superclasses) lines.push(data.superclasses[i] === data.superclasses[j] ? "In the same superclass." : "In different superclasses.");
    if (data.people) lines.push(`People take ${names[i]} for ${names[j]}: ${taken(i, j)}; the other way: ${taken(j, i)}.`);
    return lines;
  };

  const line = (parent, text) => parent.appendChild(Object.assign(document.createElement("p"), { textContent: text }));

  const tell = () => {
    const pair = by("pair");
    pair.replaceChildren();
    const first = line(pair, row === column ? names[row] : `${names[row]} – ${names[column]} `);
    if (row === column) { line(pair, "The class itself."); return; }
    first.appendChild(Object.assign(document.createElement("b"), { textContent: signed(cosine(row, column)) }));
    facts(row, column).forEach(text => line(pair, text));
  };

  const shownRows = Math.min(11, K);
  const magnify = () => {
    const from = at => Math.max(0, Math.min(K - shownRows, at - (shownRows >> 1)));
    const top = from(row), left = from(column), glass = by("glass"), cell = glass.width / shownRows;
    const context = glass.getContext("2d");
    context.imageSmoothingEnabled = false;
    context.drawImage(levels.canvas, left, top, shownRows, shownRows, 0, 0, glass.width, glass.height);
    context.strokeStyle = "#000";
    context.lineWidth = 3;
    context.strokeRect((column - left) * cell + 1.5, (row - top) * cell + 1.5, cell - 3, cell - 3);
    const rows = by("lens-rows");
    if (!rows.children.length) for (let k = 0; k < shownRows; k++) rows.appendChild(document.createElement("li"));
    [...rows.children].forEach((item, k) => {
      item.textContent = names[top + k];
      item.className = top + k === row ? "here" : "";
    });
  };

  let listed = -1;
  const list = () => {
    const near = by("near");
    if (listed !== row) {
      listed = row;
      by("near-title").textContent = `Nearest of ${names[row]}`;
      near.replaceChildren(...data.nearest[row].slice(0, 10).map((other, place) => {
        const value = data.cosines[row][place] / 1000, item = document.createElement("li");
        const button = item.appendChild(document.createElement("button"));
        const name = button.appendChild(Object.assign(document.createElement("span"), { textContent: names[other] }));
        const notes = [];
        if (data.superclasses && data.superclasses[row] === data.superclasses[other]) notes.push("same superclass");
        if (data.people && taken(row, other) !== "hardly") notes.push(`people ${taken(row, other)}`);
        name.appendChild(Object.assign(document.createElement("small"), { textContent: notes.join(", ") }));
        button.appendChild(Object.assign(document.createElement("span"), { textContent: signed(value) }));
        const bar = button.appendChild(document.createElement("i"));
        bar.style.width = Math.max(1, 100 * Math.min(1, Math.abs(value) / data.high)) + "%";
        bar.className = value < 0 ? "below" : "";
        button.type = "button";
        button.dataset.other = other;
        button.addEventListener("click", () => choose(row, other));
        return item;
      }));
    }
    for (const button of near.querySelectorAll("button")) {
      button.toggleAttribute("aria-current", +button.dataset.other === column);
    }
  };

  const cross = () => {
    const cell = map.clientWidth / K, wide = Math.max(cell, 2), end = map.clientWidth;
    const place = (id, x, y, width, height) => Object.assign(by(id).style, {
      transform: `translate(${x}px, ${y}px)`, width: width + "px", height: height + "px" });
    place("across", 0, row * cell, end, wide);
    place("down", column * cell, 0, wide, end);
  };

  const choose = (i, j) => {
    if (!levels) return;
    row = Math.max(0, Math.min(K - 1, i));
    column = Math.max(0, Math.min(K - 1, j));
    map.classList.add("live");
    cross(); tell(); magnify(); list();
  };

  const point = event => {
    const box = map.getBoundingClientRect(), at = x => Math.floor(K * x / box.width);
    const i = at(event.clientY - box.top), j = at(event.clientX - box.left);
    if (i !== row || j !== column || !map.classList.contains("live")) choose(i, j);
  };

  const keys = event => {
    const far = event.shiftKey ? 10 : 1;
    const moves = { ArrowUp: [-far, 0], ArrowDown: [far, 0], ArrowLeft: [0, -far], ArrowRight: [0, far] };
    if (event.key in moves) choose(row + moves[event.key][0], column + moves[event.key][1]);
    else if (event.key === "Enter") choose(row, data.nearest[row][0]);
    else return;
    event.preventDefault();
  };

  const search = () => {
    const wanted = by("find").value.trim().toLowerCase();
    if (!wanted) return;
    let found = names.findIndex(name => name.toLowerCase() === wanted);
    if (found < 0) found = names.findIndex(name => name.toLowerCase().startsWith(wanted));
    if (found < 0) found = names.findIndex(name => name.toLowerCase().includes(wanted));
    if (found >= 0) choose(found, data.nearest[found][0]);
    else by("pair").replaceChildren(Object.assign(document.createElement("p"), { textContent: "No such class." }));
  };

  const begin = async () => {
    await pixels.decode();
    levels = read(pixels);
    if (data.deviation) {
      const image = new Image();
      image.src = data.deviation;
      await image.decode();
      steps = read(image);
    }
    document.documentElement.classList.add("js");
    map.tabIndex = 0;
    map.setAttribute("role", "application");
    map.setAttribute("aria-label", "Map of class relations");
    map.setAttribute("aria-describedby", "how pair");
    by("names").replaceChildren(...[...names].sort().map(name => Object.assign(document.createElement("option"), { value: name })));
    map.addEventListener("pointermove", point);
    map.addEventListener("pointerdown", point);
    map.addEventListener("keydown", keys);
    by("find").addEventListener("input", search);
    new ResizeObserver(cross).observe(map);
    row = data.cosines.reduce((best, one, k) => one[0] > data.cosines[best][0] ? k : best, 0);
    choose(row, data.nearest[row][0]);
    document.documentElement.dataset.ready = "";
  };
  begin();
})();
