/** Bar charts in SVG, one for each section and MTU. */
import type { Contender, Results } from '../sample.ts';
import { SECTIONS, type Section } from './metrics.ts';
import { figure, isIn } from './statistics.ts';

export interface Chart {
  readonly file: string;
  readonly svg: string;
}

const WIDTH = 960;
const HEIGHT = 420;
/** Ours stand out; the others are of one family. */
const OURS = ['#d9480f', '#f59f00'];
const OTHERS = ['#343a40', '#1c7ed6', '#74c0fc', '#1098ad', '#66d9e8', '#868e96', '#ced4da'];

/** The same in every chart. */
function colorOf(name: string, ours: boolean, contenders: readonly Contender[]): string {
  const alike = contenders.filter((one) => one.ours === ours).map((one) => one.name);
  const colors = ours ? OURS : OTHERS;
  return colors[[...new Set(alike)].indexOf(name)] ?? '#dee2e6';
}

type Echarts = typeof import('echarts');

/** @returns undefined where the library is not installed: charts are for those who develop */
async function loadEcharts(): Promise<Echarts | undefined> {
  try {
    return await import('echarts');
  } catch {
    return undefined;
  }
}

function drawSection(
  echarts: Echarts,
  section: Section,
  mtu: number,
  results: Results,
): Chart | undefined {
  const { chart } = section;
  if (chart === undefined) return undefined;
  const { contenders, samples } = results;
  const metrics = chart.metrics.filter((metric) =>
    contenders.some(({ id }) => figure(samples, id, metric) !== undefined),
  );
  const shown = contenders.filter(
    (one) =>
      one.mtu === mtu &&
      isIn(section, one.name) &&
      metrics.some((metric) => figure(samples, one.id, metric) !== undefined),
  );
  if (metrics.length === 0 || shown.length === 0) return undefined;
  const drawing = echarts.init(null, null, {
    renderer: 'svg',
    ssr: true,
    width: WIDTH,
    height: HEIGHT,
  });
  try {
    drawing.setOption({
      animation: false,
      backgroundColor: '#ffffff',
      title: { text: `${chart.title}, MTU ${mtu}`, left: 'center' },
      legend: { bottom: 0, itemGap: 24 },
      grid: { left: 60, right: 20, top: 50, bottom: 70 },
      xAxis: { type: 'category', data: metrics.map(({ title }) => title) },
      yAxis: { type: 'value', name: chart.unit },
      series: shown.map(({ id, name, ours }) => ({
        type: 'bar',
        name,
        itemStyle: { color: colorOf(name, ours, contenders) },
        data: metrics.map((metric) => figure(samples, id, metric)?.median ?? '-'),
      })),
    });
    return { file: `${section.name}-${mtu}.svg`, svg: drawing.renderToSVGString() };
  } finally {
    drawing.dispose(); // its timer would keep the process alive
  }
}

/** @returns undefined where no charts can be drawn */
export async function drawCharts(results: Results): Promise<readonly Chart[] | undefined> {
  const echarts = await loadEcharts();
  if (echarts === undefined) return undefined;
  const mtus = [...new Set(results.contenders.map(({ mtu }) => mtu))];
  return SECTIONS.flatMap((section) =>
    mtus.map((mtu) => drawSection(echarts, section, mtu, results)),
  ).filter((chart) => chart !== undefined);
}
