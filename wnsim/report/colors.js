
// Colors of the page, and sharp drawing on canvases.

const GROUPS = ["#0072B2", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#6A51A3", "#8C6D31"];
const GROUPS_DARK = ["#4aa3df", "#35c799", "#e3a0c6", "#f2b632", "#8fd0f5", "#a594dd", "#c9a96a"];
const SHAPES = ["circle", "square", "diamond", "triangle"];
const dark = window.matchMedia("(prefers-color-scheme: dark)");

function theme() {
  const style = getComputedStyle(document.documentElement);
  const color = (name) => style.getPropertyValue(`--${name}`).trim();
  return {
    ink: color("ink"), soft: color("soft"), line: color("line"), faint: color("faint"),
    raised: color("raised"), accent: color("accent"), missed: color("missed"),
    arrived: color("arrived"), groups: dark.matches ? GROUPS_DARK : GROUPS,
  };
}

function prepared(canvas, width, height) {
  const ratio = window.devicePixelRatio || 1;
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  return context;
}

// Round numbers between two ends, about so many.
function ticks(low, high, about) {
  const rough = (high - low) / Math.max(1, about);
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((n) => n * power).find((each) => each >= rough * 0.999);
  const found = [];
  for (let n = Math.ceil(low / step); n * step <= high + step * 1e-6; n += 1) {
    found.push(Number((n * step).toPrecision(12)));
  }
  return found;
}

function shape(context, kind, x, y, radius) {
  context.beginPath();
  if (kind === "square") {
    context.rect(x - radius * 0.88, y - radius * 0.88, radius * 1.76, radius * 1.76);
  } else if (kind === "diamond") {
    const r = radius * 1.22;
    context.moveTo(x, y - r); context.lineTo(x + r, y); context.lineTo(x, y + r);
    context.lineTo(x - r, y); context.closePath();
  } else if (kind === "triangle") {
    const r = radius * 1.3;
    context.moveTo(x, y - r); context.lineTo(x + r, y + 0.8 * r); context.lineTo(x - r, y + 0.8 * r);
    context.closePath();
  } else {
    context.arc(x, y, radius, 0, 2 * Math.PI);
  }
}

// Color and shape of a cluster by its index; of devices without a cluster if it is negative.
function look(group, colors) {
  if (group < 0) return { color: colors.soft, kind: "circle" };
  const kind = SHAPES[(group + Math.floor(group / colors.groups.length)) % SHAPES.length];
  return { color: colors.groups[group % colors.groups.length], kind };
}
