import assert from 'node:assert/strict';
import { markdown } from '../../bench/report/markdown.ts';
import { figureOf } from '../../bench/report/statistics.ts';
import type { Contender, Results, Sample } from '../../bench/sample.ts';

const contender = (name: string, ours = false): Contender => ({
  id: `${name}@1500`,
  name,
  mtu: 1500,
  ours,
});

function sample(peer: string, repetition: number, gbps: number): Sample {
  const values = { gbps, cpuSPerGb: 1 };
  const noise = { foreignPct: repetition === 1 ? 20 : 1, stealPct: 0 };
  return { peer: `${peer}@1500`, repetition, case: 'tcp-g2h-1', values, noise };
}

const RESULTS: Results = {
  made: '2026-01-02T03:04:05.000Z',
  machine: 'a machine',
  settings: 'medians of 3 repetitions',
  versions: [],
  leftOut: ['gvproxy: not on PATH'],
  contenders: [contender('hawser', true), contender('passt')],
  samples: [
    sample('hawser', 1, 2),
    sample('hawser', 2, 8),
    sample('hawser', 3, 3),
    sample('passt', 1, 1),
    sample('passt', 2, 2),
    { ...sample('passt', 3, 0), values: {}, error: 'it hung' },
  ],
};

describe('bench: report', () => {
  it('a figure is the median, with the least and the most', () => {
    assert.deepEqual(figureOf([9, 1, 3]), { median: 3, min: 1, max: 9, count: 3 });
    assert.deepEqual(figureOf([4, 1]), { median: 2.5, min: 1, max: 4, count: 2 });
    assert.equal(figureOf([]), undefined);
  });

  it('tables, ratios within a repetition, noise, what failed and what was left out', () => {
    const text = markdown(RESULTS, []);
    assert.match(text, /\| hawser@1500 \| 3\.00 \(2\.00–8\.00\) \|/);
    assert.match(text, /\| bulk: g→h 1 \| 3\.00 \(2\.00–4\.00\) \|/);
    assert.match(text, /above 12 % in 2 of 6 samples/);
    assert.match(text, /- passt@1500 #3 tcp-g2h-1: it hung/);
    assert.match(text, /- gvproxy: not on PATH/);
    assert.doesNotMatch(text, /UDP flood/);
    assert.doesNotMatch(text, /Requests/);
  });

  it('requests that were not answered are counted, of all repetitions', () => {
    const requests = (
      peer: string,
      repetition: number,
      sent: number,
      answered: number,
    ): Sample => ({
      ...sample(peer, repetition, 0),
      case: 'udprr-g2h',
      values: { sent, answered },
    });
    const samples = [
      ...RESULTS.samples,
      requests('hawser', 1, 100, 100),
      requests('hawser', 2, 50, 47),
    ];
    const text = markdown({ ...RESULTS, samples }, []);
    assert.match(
      text,
      /\| peer@MTU \| udprr-g2h \|\n\|---\|---\|\n\| hawser@1500 \| 147 of 150 \|/,
    );
    assert.match(text, /\| passt@1500 \| – \|/);
  });
});
