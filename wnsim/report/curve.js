
// The curve beside the map, with a cursor at the time of the map: accuracy, or messages.

const EDGE = { left: 38, right: 10, top: 8, bottom: 24 };

class Curve {
  constructor(canvas) { this.canvas = canvas; }

  lines(run, chosen, colors) {
    const found = [];
    if (run.accuracy) {
      const { times, all, own, each } = run.accuracy;
      found.push({ name: "all tasks", color: colors.accent, dash: [], times, values: all });
      found.push({ name: "own task", color: colors.accent, dash: [2, 3], times, values: own });
      if (chosen !== null) {
        const values = Float32Array.from(times, (_, n) => each[n * run.count + chosen] / 10000);
        found.push({ name: `device ${run.names[chosen]}`, color: colors.ink, dash: [6, 3], times, values });
      }
    } else if (run.messages) {
      const { arrivedBy, missedBy } = run.messages;
      const times = Float32Array.from(arrivedBy, (_, n) => n / (arrivedBy.length - 1) * run.until);
      found.push({ name: "delivered", color: colors.arrived, dash: [], times, values: arrivedBy });
      found.push({ name: "late or lost", color: colors.missed, dash: [5, 4], times, values: missedBy });
    }
    return found;
  }

  draw(run, time, chosen, colors) {
    const width = this.canvas.clientWidth, height = this.canvas.clientHeight;
    const context = prepared(this.canvas, width, height);
    const lines = this.lines(run, chosen, colors);
    const share = Boolean(run.accuracy);
    const top = share ? 1 : Math.max(1, ...lines.map((line) => line.values[line.values.length - 1]));
    this.span = [EDGE.left, width - EDGE.right];
    const x = (t) => EDGE.left + (run.until > 0 ? t / run.until : 0) * (width - EDGE.left - EDGE.right);
    const y = (v) => height - EDGE.bottom - v / top * (height - EDGE.top - EDGE.bottom);
    context.font = "11px system-ui, sans-serif";
    context.fillStyle = colors.soft;
    context.strokeStyle = colors.line;
    context.lineWidth = 1;
    context.textAlign = "right";
    context.textBaseline = "middle";
    for (const value of ticks(0, top, 4)) {
      context.globalAlpha = value === 0 ? 1 : 0.6;
      context.beginPath(); context.moveTo(x(0), y(value)); context.lineTo(x(run.until), y(value)); context.stroke();
      context.globalAlpha = 1;
      context.fillText(share ? `${Math.round(100 * value)} %` : `${value}`, EDGE.left - 5, y(value));
    }
    context.textBaseline = "top";
    const instants = run.until > 0 ? ticks(0, run.until, Math.max(2, width / 90)) : [0];
    for (const [n, value] of instants.entries()) {
      const last = n === instants.length - 1;
      context.textAlign = last && x(value) > width - 24 ? "right" : "center";
      context.fillText(last ? `${value} s` : `${value}`, x(value), height - EDGE.bottom + 7);
    }
    for (const line of lines) {
      context.strokeStyle = line.color;
      context.lineWidth = 1.7;
      context.setLineDash(line.dash);
      context.beginPath();
      let drawn = 0;
      for (let n = 0; n < line.times.length; n += 1) {
        if (Number.isNaN(line.values[n])) continue;
        context[drawn ? "lineTo" : "moveTo"](x(line.times[n]), y(line.values[n]));
        drawn += 1;
      }
      context.stroke();
      context.setLineDash([]);
    }
    context.strokeStyle = colors.ink;
    context.globalAlpha = 0.55;
    context.lineWidth = 1;
    context.beginPath(); context.moveTo(x(time), EDGE.top); context.lineTo(x(time), height - EDGE.bottom); context.stroke();
    context.globalAlpha = 1;
    for (const line of lines) {
      const after = countUpTo(line.times, time), before = Math.max(after - 1, 0);
      const next = Math.min(after, line.times.length - 1);
      const span = line.times[next] - line.times[before];
      const part = span > 0 ? (time - line.times[before]) / span : 0;
      const value = line.values[before] + part * (line.values[next] - line.values[before]);
      if (Number.isNaN(value) || !line.times.length) continue;
      context.fillStyle = line.color;
      context.strokeStyle = colors.raised;
      context.lineWidth = 1.5;
      context.beginPath(); context.arc(x(time), y(value), 3.5, 0, 2 * Math.PI); context.fill(); context.stroke();
    }
  }

  // The time that a point of the canvas stands for.
  timeAt(position, until) {
    const [left, right] = this.span;
    return Math.min(1, Math.max(0, (position - left) / (right - left))) * until;
  }
}
