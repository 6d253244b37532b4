/** `hawser demo --once`, as a user runs it, with each kind of guest. */
import assert from 'node:assert/strict';
import { fileURLToPath } from 'node:url';
import { z } from 'zod';
import { GUEST_VARIABLE } from '../../src/lab/open-guest.ts';
import { LAB, type Requirement, systemSuite } from '../support/requirements.ts';
import { Background } from './support/processes.ts';

const MAIN = fileURLToPath(new URL('../../bin/hawser.js', import.meta.url));
const Report = z.object({
  step: z.string(),
  ok: z.boolean(),
  skipped: z.boolean().optional(),
  detail: z.string(),
});
const STEPS = [
  ...['lease', 'resolve', 'ping-gateway', 'ping-host', 'download', 'upload'],
  ...['address-ipv6', 'resolve-ipv6', 'ping-gateway-ipv6', 'ping-host-ipv6', 'download-ipv6'],
  ...['mux-up', 'publish', 'fetch-port', 'fetch-mux', 'fetch-ipv6'],
];
/** Of a guest that has IPv4 alone: the first step of IPv6 says so. */
const STEPS_WITHOUT_IPV6 = STEPS.filter(
  (step) => step === 'address-ipv6' || !step.endsWith('-ipv6'),
);

function suite(kind: string, needs: readonly Requirement[], args: readonly string[]): void {
  systemSuite(`demo, ${[kind, ...args].join(' ')}`, needs, function () {
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
      const hasIpv6 = kind !== 'simulated' && !args.includes('off');
      for (const { step, ok, skipped, detail } of reports) {
        assert.equal(skipped, !hasIpv6 && step === 'address-ipv6' ? true : undefined, step);
        assert.ok(ok || skipped, `${step}: ${detail}`);
      }
      const steps = reports.map(({ step }) => step);
      const expected = hasIpv6 ? STEPS : STEPS_WITHOUT_IPV6;
      assert.deepEqual(steps, kind === 'vm' ? ['boot', ...expected] : expected);
    });
  });
}

suite('tap', [...LAB, 'ipv6', 'ping'], []);
suite('tap', [...LAB, 'ping'], ['--ipv6', 'off']);
suite('packet', ['userns', 'ip', 'nsenter', 'koffi', 'ipv6'], []);
suite('simulated', [], []);
suite('vm', ['vm', 'ipv6'], ['--vm']);

systemSuite('demo, where the loopback is down', ['netns'], () => {
  it('says so, and what to do', async () => {
    const demo = new Background(['unshare', '-n', process.execPath, MAIN, 'demo', '--once'], {
      env: { [GUEST_VARIABLE]: 'simulated' },
    });
    assert.equal(await demo.exited, 1, `${demo.stdout}${demo.stderr}`);
    assert.equal(demo.stdout, '');
    assert.match(
      demo.stderr,
      /^hawser: the loopback interface of this host is down, .*; bring it up with "ip link set lo up"$/m,
    );
  });
});
