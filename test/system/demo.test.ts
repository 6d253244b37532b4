/** `hawser demo --once`, as a user runs it, with each kind of guest. */
import assert from 'node:assert/strict';
import { fileURLToPath } from 'node:url';
import { z } from 'zod';
import { GUEST_VARIABLE } from '../../src/lab/open-guest.ts';
import { LAB, type Requirement, systemSuite } from '../support/requirements.ts';
import { Background } from './support/processes.ts';

const MAIN = fileURLToPath(new URL('../../bin/hawser.js', import.meta.url));
const Report = z.object({ step: z.string(), ok: z.boolean(), detail: z.string() });
const STEPS = [
  ...['lease', 'resolve', 'ping-gateway', 'ping-host', 'download', 'upload'],
  ...['mux-up', 'publish', 'fetch-port', 'fetch-mux'],
];

function suite(kind: string, needs: readonly Requirement[], args: readonly string[]): void {
  systemSuite(`demo, ${kind}`, needs, function () {
    this.timeout(180_000);

    it('every step succeeds, and so does the command', async () => {
      const env = kind === 'vm' ? {} : { [GUEST_VARIABLE]: kind };
      const demo = new Background(
        [process.execPath, MAIN, 'demo', '--once', '--json', '--size', '16', ...args],
        { env },
      );
      try {
        assert.equal(await demo.exited, 0, `${demo.stdout}${demo.stderr}`);
      } finally {
        await demo.stop('SIGTERM');
      }
      const reports = demo.stdout
        .trimEnd()
        .split('\n')
        .map((line) => Report.parse(JSON.parse(line)));
      for (const { step, ok, detail } of reports) assert.ok(ok, `${step}: ${detail}`);
      const steps = reports.map(({ step }) => step);
      assert.deepEqual(steps, kind === 'vm' ? ['boot', ...STEPS] : STEPS);
    });
  });
}

suite('tap', [...LAB, 'ping'], []);
suite('packet', ['userns', 'ip', 'nsenter', 'koffi'], []);
suite('simulated', [], []);
suite('vm', ['vm'], ['--vm']);
