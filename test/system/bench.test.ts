import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { z } from 'zod';
import { LAB, systemSuite } from '../support/requirements.ts';
import { Background, command } from './support/processes.ts';

const MAIN = fileURLToPath(new URL('../../bin/hawser.js', import.meta.url));
const bench = async (...args: string[]) => {
  const run = new Background([process.execPath, MAIN, 'bench', ...args], {});
  return { status: await run.exited, stdout: run.stdout, stderr: run.stderr, pid: run.pid };
};

const Results = z.object({
  samples: z.array(
    z.object({
      peer: z.string(),
      case: z.string(),
      values: z.record(z.string(), z.number()),
      error: z.string().optional(),
    }),
  ),
});

systemSuite('bench', [...LAB, 'gcc', 'iperf3'], function () {
  this.timeout(60_000);
  let out = '';
  beforeEach(() => {
    out = mkdtempSync(join(tmpdir(), 'hawser-bench-test-'));
  });
  afterEach(() => rmSync(out, { recursive: true, force: true }));

  it('measures hawser: table, JSON and chart; namespaces are gone', async () => {
    const what = ['--peers', 'hawser', '--cases', 'tcp-g2h-1,rr-h2g', '--duration', '1'];
    const { status, stdout, stderr, pid } = await bench('--quick', ...what, '--out', out);
    assert.equal(status, 0, stderr);
    assert.match(stdout, /\| hawser@1500 \| \d+\.\d\d \|/);
    const { samples } = Results.parse(JSON.parse(readFileSync(join(out, 'bench.json'), 'utf8')));
    assert.deepEqual(
      samples.map((sample) => [sample.peer, sample.case, sample.error]),
      ['ready', 'tcp-g2h-1', 'rr-h2g'].map((name) => ['hawser@1500', name, undefined]),
    );
    for (const { values } of samples) assert.ok((Object.values(values)[0] ?? 0) > 0);
    const chart = readFileSync(join(out, 'bulk-1500.svg'), 'utf8');
    assert.match(chart, /^<svg .*TCP bulk, MTU 1500/s);
    const namespaces = await command(['ip', 'netns']);
    assert.doesNotMatch(namespaces.stdout, new RegExp(`hawser-b${pid}[gh]`));
  });

  it('an unknown peer: status 2; the message says which there are', async () => {
    const { status, stderr } = await bench('--peers', 'vde');
    assert.equal(status, 2);
    assert.match(stderr, /--peers vde: must be among hawser,/);
  });
});
