/** Puts the results beside each other: Markdown for people, JSON for programs, SVG to look at. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Results } from '../sample.ts';
import { drawCharts } from './chart.ts';
import { markdown } from './markdown.ts';

/** @returns the report, as Markdown */
export async function writeReport(results: Results, outDir: string): Promise<string> {
  mkdirSync(outDir, { recursive: true });
  const charts = await drawCharts(results);
  for (const { file, svg } of charts ?? []) writeFileSync(join(outDir, file), svg);
  const noCharts = charts === undefined ? ['charts: the package echarts is not installed'] : [];
  const report = { ...results, leftOut: [...results.leftOut, ...noCharts] };
  const files = (charts ?? []).map(({ file }) => file);
  const text = markdown(report, files);
  writeFileSync(join(outDir, 'bench.json'), `${JSON.stringify(report, undefined, 1)}\n`);
  writeFileSync(join(outDir, 'bench.md'), text);
  return `${text}\n${join(outDir, 'bench.md')}, bench.json and ${files.length} charts were written.`;
}
