
// The map: axes in meters, messages, devices and base stations at an instant.

const MARGIN = { left: 46, right: 12, top: 12, bottom: 30 };

class Map2D {
  constructor(canvas) {
    this.canvas = canvas;
    this.points = [];
  }

  // Make the canvas as high as the area wants, within reason.
  fit(run, width) {
    const [left, right, low, high] = run.box;
    const inner = width - MARGIN.left - MARGIN.right;
    const wanted = inner * (high - low) / (right - left) + MARGIN.top + MARGIN.bottom;
    const most = width < 560 ? 460 : 620;
    this.width = width;
    this.height = Math.round(Math.min(most, Math.max(170, wanted)));
    this.canvas.style.height = `${this.height}px`;
    this.scale = Math.min(
      inner / (right - left), (this.height - MARGIN.top - MARGIN.bottom) / (high - low),
    );
    this.shiftX = MARGIN.left + (inner - this.scale * (right - left)) / 2 - this.scale * left;
    const room = this.height - MARGIN.top - MARGIN.bottom - this.scale * (high - low);
    this.shiftY = this.height - MARGIN.bottom - room / 2 + this.scale * low;
  }

  at([x, y]) { return [this.shiftX + this.scale * x, this.shiftY - this.scale * y]; }

  draw(run, time, moment, chosen, colors) {
    const context = prepared(this.canvas, this.width, this.height);
    this.frame(context, run, colors);
    const places = run.places(time);
    this.points = places.map((place) => place && this.at(place));
    const groups = run.groups(time);
    this.links(context, run, time, moment, chosen, colors);
    this.devices(context, run, groups, run.training(time).shares, chosen, colors);
  }

  frame(context, run, colors) {
    const [left, right, low, high] = run.box;
    const [x0, y0] = this.at([left, low]), [x1, y1] = this.at([right, high]);
    context.font = "11px system-ui, sans-serif";
    context.lineWidth = 1;
    context.strokeStyle = colors.faint;
    context.fillStyle = colors.soft;
    context.textBaseline = "top";
    context.textAlign = "center";
    const across = ticks(left, right, Math.max(2, (x1 - x0) / 90));
    for (const [n, value] of across.entries()) {
      const [x] = this.at([value, low]);
      context.beginPath(); context.moveTo(x, y0); context.lineTo(x, y1); context.stroke();
      context.fillText(n === across.length - 1 ? `${value} m` : `${value}`, x, y0 + 7);
    }
    context.textBaseline = "middle";
    context.textAlign = "right";
    for (const value of ticks(low, high, Math.max(1, (y0 - y1) / 70))) {
      const [, y] = this.at([left, value]);
      context.beginPath(); context.moveTo(x0, y); context.lineTo(x1, y); context.stroke();
      context.fillText(`${value}`, x0 - 7, y);
    }
    context.strokeStyle = colors.line;
    context.strokeRect(x0, y1, x1 - x0, y0 - y1);
  }

  links(context, run, time, moment, chosen, colors) {
    const found = run.messagesAt(time, moment);
    const { source, target, delivered, kind } = run.messages ?? {};
    const crowd = found.length > 150 ? 0.6 : 1;
    for (const [n, share, age] of found) {
      const from = this.points[source[n]], to = this.points[target[n]];
      if (!from || !to) continue;
      const flying = age < 0, missed = !delivered[n];
      const mine = chosen === null || source[n] === chosen || target[n] === chosen;
      const quiet = run.messages.quiet[kind[n]];
      const fading = flying ? 1 : 1 - age / moment;
      context.globalAlpha = fading * crowd * (mine ? 1 : 0.4) * (quiet ? 0.35 : 0.85);
      context.setLineDash(missed && !flying ? [5, 4] : []);
      context.strokeStyle = flying ? colors.accent : missed ? colors.missed : colors.arrived;
      // Both directions of a pair are seen beside each other.
      const length = Math.hypot(to[0] - from[0], to[1] - from[1]) || 1;
      const bend = Math.min(14, 0.08 * length);
      const middle = [
        (from[0] + to[0]) / 2 - (to[1] - from[1]) / length * bend,
        (from[1] + to[1]) / 2 + (to[0] - from[0]) / length * bend,
      ];
      if (flying) {
        context.lineWidth = 1;
        context.globalAlpha *= 0.45;
      } else {
        context.lineWidth = 1.6;
      }
      context.beginPath();
      context.moveTo(...from);
      context.quadraticCurveTo(...middle, ...to);
      context.stroke();
      context.setLineDash([]);
      const on = (s) => [0, 1].map(
        (k) => (1 - s) ** 2 * from[k] + 2 * s * (1 - s) * middle[k] + s ** 2 * to[k],
      );
      if (flying) {
        context.globalAlpha = crowd * (mine ? 1 : 0.45) * (quiet ? 0.5 : 1);
        context.fillStyle = colors.accent;
        context.beginPath();
        context.arc(...on(share), quiet ? 1.5 : 2.4, 0, 2 * Math.PI);
        context.fill();
      } else if (missed) {
        const [x, y] = on(0.5), r = 3.2;
        context.beginPath();
        context.moveTo(x - r, y - r); context.lineTo(x + r, y + r);
        context.moveTo(x + r, y - r); context.lineTo(x - r, y + r);
        context.stroke();
      }
    }
    context.globalAlpha = 1;
  }

  devices(context, run, groups, shares, chosen, colors) {
    const radius = run.count > 300 ? 2.5 : run.count > 80 ? 3.5 : 5.5;
    for (let n = 0; n < run.stations.length; n += 1) {
      const [x, y] = this.points[run.count + n];
      shape(context, "triangle", x, y, 6.5);
      context.fillStyle = colors.ink;
      context.strokeStyle = colors.raised;
      context.lineWidth = 2;
      context.stroke();
      context.fill();
    }
    for (let device = 0; device < run.count; device += 1) {
      const point = this.points[device];
      if (!point) continue;
      const { color, kind } = run.members ? look(groups[device], colors)
        : { color: colors.groups[0], kind: "circle" };
      const share = shares.get(device);
      if (share !== undefined && radius > 3) {
        context.strokeStyle = color;
        context.globalAlpha = 0.22;
        context.lineWidth = 2;
        context.beginPath(); context.arc(...point, radius + 4.5, 0, 2 * Math.PI); context.stroke();
        context.globalAlpha = 1;
        context.beginPath();
        context.arc(...point, radius + 4.5, -Math.PI / 2, (2 * share - 0.5) * Math.PI);
        context.stroke();
      }
      shape(context, kind, ...point, radius);
      context.strokeStyle = colors.raised;
      context.lineWidth = radius > 3 ? 2 : 0.6;
      context.stroke();
      context.fillStyle = color;
      context.fill();
    }
    if (chosen !== null && this.points[chosen]) {
      context.strokeStyle = colors.ink;
      context.lineWidth = 1.8;
      context.beginPath(); context.arc(...this.points[chosen], radius + 8, 0, 2 * Math.PI); context.stroke();
    }
  }

  // The device nearest to a point of the canvas, null if none is near.
  near(x, y, count, reach) {
    let best = null, least = reach;
    for (let device = 0; device < count; device += 1) {
      const point = this.points[device];
      const away = point ? Math.hypot(point[0] - x, point[1] - y) : Infinity;
      if (away < least) { least = away; best = device; }
    }
    return best;
  }
}
