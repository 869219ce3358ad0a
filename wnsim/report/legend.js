
// Legend of the map, and the numbers of a selected device.

const part = (id) => document.getElementById(id);

// Of a player its run, curve, colors and chosen device.
function showLegend({ run, curve, colors, chosen }) {
  const item = (text, draw, list, tag, height) => {
    const made = document.createElement(tag), canvas = document.createElement("canvas");
    canvas.setAttribute("aria-hidden", "true");
    draw(prepared(canvas, 26, height), height / 2);
    made.append(canvas, document.createTextNode(text));
    list.append(made);
  };
  const line = (color, dash, width) => (context, y) => {
    context.strokeStyle = color; context.lineWidth = width; context.setLineDash(dash);
    context.beginPath(); context.moveTo(1, y); context.lineTo(25, y); context.stroke();
  };
  const dot = (kind, color, radius) => (context, y) => {
    context.fillStyle = color; shape(context, kind, 13, y, radius); context.fill();
  };
  const list = part("legend");
  list.replaceChildren();
  if (run.messages) {
    item("on the air", (context, y) => {
      context.globalAlpha = 0.5; line(colors.accent, [], 1)(context, y);
      context.globalAlpha = 1; dot("circle", colors.accent, 2.6)(context, y);
    }, list, "li", 14);
    item("delivered", line(colors.arrived, [], 1.6), list, "li", 14);
    item("late or lost", (context, y) => {
      line(colors.missed, [5, 4], 1.6)(context, y);
      context.setLineDash([]);
      context.beginPath(); context.moveTo(10, y - 3); context.lineTo(16, y + 3);
      context.moveTo(16, y - 3); context.lineTo(10, y + 3); context.stroke();
    }, list, "li", 14);
  }
  const plain = run.members ? colors.soft : colors.groups[0];
  if (run.rounds) {
    item("training", (context, y) => {
      context.strokeStyle = plain; context.lineWidth = 1.6;
      context.beginPath(); context.arc(13, y, 6, -Math.PI / 2, Math.PI); context.stroke();
      dot("circle", plain, 2.6)(context, y);
    }, list, "li", 14);
  }
  if (run.members) {
    const groups = run.members.groups;
    for (const [n, group] of groups.slice(0, 8).entries()) {
      const { color, kind } = look(n, colors);
      item(`cluster ${group}`, dot(kind, color, 4.6), list, "li", 14);
    }
    if (groups.length > 8) item(`${groups.length - 8} more groups`, () => {}, list, "li", 14);
    item("no cluster", dot("circle", colors.soft, 4.6), list, "li", 14);
  } else {
    item("device", dot("circle", plain, 4.6), list, "li", 14);
  }
  if (run.stations.length) item("base station", dot("triangle", colors.ink, 4.6), list, "li", 14);
  const names = part("curve-legend");
  names.replaceChildren();
  for (const each of curve.lines(run, chosen, colors)) {
    item(each.name, line(each.color, each.dash, 1.7), names, "span", 10);
  }
}

// Of a player its run, time, chosen device and map; what is on the air, and who is training.
function showCard({ run, time, chosen, map }, flying, shares) {
  const card = part("card");
  const point = chosen === null ? null : map.points[chosen];
  card.hidden = !point;
  if (!point) return;
  const rows = [];
  if (run.tasks[chosen]) rows.push(["Task", run.tasks[chosen].replaceAll("+", " + ")]);
  const accuracy = run.accuracyOf(chosen, time);
  if (accuracy !== null) rows.push(["Accuracy, all tasks", `${(100 * accuracy).toFixed(1)} %`]);
  const out = flying.filter(([n]) => run.messages.source[n] === chosen);
  const inward = flying.filter(([n]) => run.messages.target[n] === chosen);
  const doing = [];
  if (shares.has(chosen)) doing.push(`training, ${Math.round(100 * shares.get(chosen))} %`);
  if (out.length) doing.push(`sending ${out.length} of ${size(run.messages.size[out[0][0]])}`);
  if (inward.length) doing.push(`receiving ${inward.length}`);
  rows.push(["Now", doing.join(", ") || "waiting"]);
  if (run.members) {
    const group = run.groups(time)[chosen];
    rows.push(["Cluster", group < 0 ? "none" : String(run.members.groups[group])]);
  }
  const [x, y] = run.place(chosen, time);
  rows.push(["Place", `${x.toFixed(1)} m, ${y.toFixed(1)} m`]);
  rows.push(["Delivered in all", `${run.delivered[chosen]} of ${run.sent[chosen]}`]);
  const head = document.createElement("strong"), list = document.createElement("dl");
  head.textContent = `Device ${run.names[chosen]}`;
  for (const [name, text] of rows) {
    const term = document.createElement("dt"), value = document.createElement("dd");
    term.textContent = name;
    value.textContent = text;
    list.append(term, value);
  }
  card.replaceChildren(head, list);
  const { offsetWidth: width, offsetHeight: height } = card;
  const right = point[0] + 18 + width < map.width;
  const left = right ? point[0] + 18 : point[0] - 18 - width;
  card.style.left = `${Math.max(4, Math.min(left, map.width - width - 4))}px`;
  card.style.top = `${Math.max(4, Math.min(point[1] - height / 2, map.height - height - 4))}px`;
}
