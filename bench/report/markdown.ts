/** The report as Markdown: a table for each section, ratios of ours to the others, noise, failures. */
import { disturbance, QUIET_PCT } from '../rig/noise.ts';
import type { Contender, Results } from '../sample.ts';
import { type Metric, PUBLISHER, SECTIONS, type Section } from './metrics.ts';
import { requestRows } from './requests.ts';
import { type Figure, figure, figureOf, hasFailed, isIn, ratio } from './statistics.ts';

const RATIO_DIGITS = 2;
/** Both with segments of up to 64 KB: our TAP by offload at the usual MTU, slirp4netns by its MTU. */
const ACROSS_MTUS = { ours: 'hawser-tap@1500', other: 'slirp4netns@65520' };

function cell({ median, min, max, count }: Figure, digits: number): string {
  const text = median.toFixed(digits);
  return count === 1 ? text : `${text} (${min.toFixed(digits)}–${max.toFixed(digits)})`;
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;
  return [line(head), `|${'---|'.repeat(head.length)}`, ...rows.map(line)].join('\n');
}

/** Metrics of the section that anyone has a figure for. */
function measured(section: Section, results: Results): readonly Metric[] {
  const { contenders, samples } = results;
  const { needs } = section;
  if (needs !== undefined && !samples.some((sample) => needs.includes(sample.case))) return [];
  const ids = contenders.filter(({ name }) => isIn(section, name)).map(({ id }) => id);
  return section.metrics.filter((metric) =>
    ids.some((id) => figure(samples, id, metric) !== undefined || hasFailed(samples, id, metric)),
  );
}

function sectionTable(section: Section, results: Results): string | undefined {
  const { contenders, samples } = results;
  const metrics = measured(section, results);
  if (metrics.length === 0) return undefined;
  const rows = contenders
    .filter(({ name }) => isIn(section, name))
    .map(({ id }) => [
      id,
      ...metrics.map((metric) => {
        const found = figure(samples, id, metric);
        if (found !== undefined) return cell(found, metric.digits);
        return hasFailed(samples, id, metric) ? 'failed' : '–';
      }),
    ]);
  return `### ${section.title}\n\n${table(['peer@MTU', ...metrics.map(({ title }) => title)], rows)}`;
}

function ratioTable(ours: string, others: readonly string[], results: Results): string | undefined {
  const { samples } = results;
  const rows: string[][] = [];
  for (const section of SECTIONS) {
    for (const metric of measured(section, results)) {
      const ratios = others.map((other) =>
        isIn(section, other.split('@')[0] ?? '') ? ratio(samples, ours, other, metric) : undefined,
      );
      if (ratios.every((found) => found === undefined)) continue;
      const row = [
        `${section.name}: ${metric.title}${metric.better === 'less' ? ' (less is better)' : ''}`,
        ...ratios.map((found) => (found === undefined ? '–' : cell(found, RATIO_DIGITS))),
      ];
      rows.push(row);
    }
  }
  if (rows.length === 0) return undefined;
  return `### ${ours}, as a ratio to\n\n${table(['', ...others], rows)}`;
}

function ratioTables(results: Results): readonly (string | undefined)[] {
  const { contenders } = results;
  const at = (one: Contender): readonly string[] =>
    contenders.filter(({ mtu, ours }) => mtu === one.mtu && !ours).map(({ id }) => id);
  const ids = contenders.map(({ id }) => id);
  const across =
    ids.includes(ACROSS_MTUS.ours) && ids.includes(ACROSS_MTUS.other) ? ACROSS_MTUS : undefined;
  return contenders
    .filter(({ ours }) => ours)
    .map((one) => {
      const others = at(one);
      return ratioTable(
        one.id,
        across?.ours === one.id ? [...others, across.other] : others,
        results,
      );
    });
}

function requestTable(results: Results): string | undefined {
  const [head, ...rows] = requestRows(results);
  if (head === undefined) return undefined;
  return `### Requests: answered of sent, in all repetitions\n\n${table(head, rows)}`;
}

function noiseLine({ samples }: Results): string {
  const heard = samples.map(({ noise }) => disturbance(noise));
  const found = figureOf(heard);
  if (found === undefined) return '';
  const loud = heard.filter((pct) => pct > QUIET_PCT).length;
  return (
    `CPU used by other processes, or taken by the hypervisor, during a sample: median ${found.median.toFixed(0)} %, ` +
    `most ${found.max.toFixed(0)} %; above ${QUIET_PCT} % in ${loud} of ${heard.length} samples.`
  );
}

function failures({ samples }: Results): string | undefined {
  const lines = samples
    .filter(({ error }) => error !== undefined)
    .map((sample) => `- ${sample.peer} #${sample.repetition} ${sample.case}: ${sample.error}`);
  return lines.length === 0 ? undefined : `### Failed\n\n${lines.join('\n')}`;
}

/** @param charts files beside the report */
export function markdown(results: Results, charts: readonly string[]): string {
  const { machine, made, settings, versions, leftOut } = results;
  const ratiosAre = 'Ratios are taken within each repetition.';
  const sections = SECTIONS.map((section) => sectionTable(section, results));
  const parts = [
    '# hawser bench',
    `${made.slice(0, 10)}. ${machine}. ${versions.join('; ')}.`,
    `${settings}. \`g→h\` is guest to host. \`hawser\` is the \`qemu:\` link, \`hawser-tap\` the ` +
      `\`tap:\` link; \`bridgepair\` joins two kernels with no proxy between: the limit of what reaches a ` +
      `peer's socket. hawser-tap, pasta, slirp4netns and ${PUBLISHER} pay no bridge. ${ratiosAre}`,
    noiseLine(results),
    leftOut.length === 0
      ? undefined
      : `Left out:\n${leftOut.map((line) => `- ${line}`).join('\n')}`,
    charts.length === 0 ? undefined : charts.map((file) => `![${file}](${file})`).join('\n'),
    ...sections,
    requestTable(results),
    ...ratioTables(results),
    failures(results),
  ];
  return `${parts.filter((part) => part !== undefined && part !== '').join('\n\n')}\n`;
}
