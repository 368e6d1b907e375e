// Charts of the last five minutes, as SVG. A chart knows its curves and how to write a value, and nothing of a server.

export const SPAN = 300; // seconds
const HEIGHT = 100; // of the drawing, which is stretched to its place
const SVG = 'http://www.w3.org/2000/svg';

/** Makes an element; children that are strings become text, whatever they contain. */
export function element(tag, properties, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

function drawn(tag, attributes) {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
}

export class Chart {
  /** `curves` are { label, series, of }: a colour, and a function from a point to a value, or to null where there is none. The
   * chart is put before a place of the page; `step` is that between the units of its values, 1000 or 1024. */
  constructor(place, title, format, step, curves, onLook) {
    this.title = title;
    this.format = format;
    this.step = step;
    this.curves = curves.map((curve) => {
      const line = drawn('path', { class: 'curve', 'data-series': curve.series });
      const area = drawn('path', { class: 'area', 'data-series': curve.series });
      const value = element('b', {}, '–');
      const key = element('li', {}, `${curve.label} `, value);
      key.dataset.series = curve.series;
      return { ...curve, line, area, value, key };
    });
    this.top = element('span', { className: 'top' });
    this.cursor = drawn('line', { class: 'cursor', y1: 0, y2: HEIGHT, visibility: 'hidden' });
    const rules = [0, HEIGHT / 2, HEIGHT].map((y) => drawn('line', { class: 'rule', x1: 0, x2: SPAN, y1: y, y2: y }));
    this.svg = drawn('svg', { viewBox: `0 0 ${SPAN} ${HEIGHT}`, preserveAspectRatio: 'none', role: 'img' });
    this.svg.append(...rules, ...this.curves.flatMap(({ area, line }) => [area, line]), this.cursor);
    const legend = element('ul', { className: 'legend' }, ...this.curves.map(({ key }) => key));
    legend.setAttribute('role', 'list');
    const axis = element('div', { className: 'axis' }, element('span', {}, '−5 min'), element('span', {}, 'now'));
    axis.setAttribute('aria-hidden', 'true');
    const plot = element('div', { className: 'plot' }, this.svg, this.top);
    place.before(element('section', { className: 'card' }, element('h2', {}, title), legend, plot, axis));

    this.svg.onpointermove = (event) => {
      const box = this.svg.getBoundingClientRect();
      const part = Math.min(Math.max((event.clientX - box.left) / box.width, 0), 1);
      onLook(Math.round((part - 1) * SPAN));
    };
    this.svg.onpointerleave = () => onLook(0);
  }

  /** Draws points, the oldest first, as of a time, and writes the values of one of them. Times are in seconds. */
  draw(points, now, looked) {
    const scaled = this.curves.map(({ of }) => points.map((point) => of(point)));
    const most = Math.max(0, ...scaled.flat().filter((value) => value !== null));
    const top = roundUp(most, this.step);
    for (const [index, { line, area }] of this.curves.entries()) {
      const runs = split(points, scaled[index], now, top);
      line.setAttribute('d', runs.map((run) => `M${run.join('L')}`).join(''));
      // One area is enough: more would hide each other.
      if (!index) area.setAttribute('d', runs.map((run) => {
        const [first, last] = [run[0], run.at(-1)].map((at) => at.split(' ')[0]);
        return `M${first} ${HEIGHT}L${run.join('L')}L${last} ${HEIGHT}Z`;
      }).join(''));
    }
    this.top.textContent = this.format(top);
    this.look(points, now, looked, most);
  }

  look(points, now, looked, most) {
    const point = points[looked];
    const words = this.curves.map(({ label, of, value }) => {
      const shown = point ? of(point) : null;
      value.textContent = shown === null ? '–' : this.format(shown);
      return `${label} ${value.textContent}`;
    });
    const isPast = point && looked < points.length - 1;
    const x = isPast ? SPAN - (now - point.time) : 0;
    this.cursor.setAttribute('visibility', isPast ? 'visible' : 'hidden');
    this.cursor.setAttribute('x1', x);
    this.cursor.setAttribute('x2', x);
    this.svg.setAttribute('aria-label', `${this.title}: ${words.join(', ')}; at most ${this.format(most)} in 5 minutes`);
  }
}

/** Makes runs of points "x y" from values; a curve is broken where there is no value, or where samples were lost. */
function split(points, values, now, top) {
  const runs = [];
  let before = -Infinity;
  for (const [index, { time }] of points.entries()) {
    const value = values[index];
    if (value === null) { before = -Infinity; continue; }
    if (time - before > GAP) runs.push([]);
    const y = HEIGHT - (top > 0 ? value / top : 0) * HEIGHT;
    runs.at(-1).push(`${(SPAN - (now - time)).toFixed(1)} ${y.toFixed(1)}`);
    before = time;
  }
  return runs;
}

const GAP = 5; // seconds without a sample, behind which a curve begins anew

/** Returns the next of 1, 2, 5, 10, … of its unit that is not less, so that the scale does not move with each sample. */
function roundUp(value, step) {
  let unit = 1;
  while (value >= unit * step) unit *= step;
  const parts = [1, 2, 5, 10, 20, 50, 100, 200, 500, step];
  return unit * parts.find((part) => part * unit >= value);
}
