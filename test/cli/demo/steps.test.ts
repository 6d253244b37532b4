import assert from 'node:assert/strict';
import { reportLine } from '../../../src/cli/demo/display.ts';
import type { EmbeddedGuest, Transfer } from '../../../src/cli/demo/guest/embedded-guest.ts';
import { parseLease } from '../../../src/cli/demo/guest/kernel-guest.ts';
import { SeededStream, seededSha256 } from '../../../src/cli/demo/seeded-stream.ts';
import {
  figure,
  judgeVmStep,
  runGuestSteps,
  type StepPlan,
  type StepReport,
} from '../../../src/cli/demo/steps.ts';
import { parseResult } from '../../../src/cli/demo/vm/start-vm.ts';

const PLAN: StepPlan = {
  gateway: '192.168.127.1',
  hostIp: '192.168.127.254',
  port: 8000,
  sizeBytes: 5000,
  seed: 1,
};
const SUM = seededSha256(PLAN.seed, PLAN.sizeBytes);
const QUIET = { begin: (): void => {}, progress: (): void => {}, end: (): void => {} };

function makeGuest(changes: Partial<EmbeddedGuest>): EmbeddedGuest {
  const transfer: Transfer = { bytes: PLAN.sizeBytes, sha256: SUM, ms: 5 };
  return {
    kind: 'simulated',
    about: 'a guest of this test',
    link: undefined,
    attach: () => {},
    lease: async () => ({
      address: '192.168.127.2',
      prefixLen: 24,
      router: PLAN.gateway,
      dns: PLAN.gateway,
      mtu: 1500,
      client: 'test',
    }),
    resolve: async () => PLAN.hostIp,
    ping: async () => 0.5,
    download: async () => transfer,
    upload: async () => transfer,
    close: async () => {},
    ...changes,
  };
}

const failed = (reports: readonly StepReport[]): string[] =>
  reports.filter((report) => !report.ok).map((report) => report.step);

describe('demo steps', () => {
  it('succeed with a guest that works', async () => {
    const reports = await runGuestSteps(makeGuest({}), PLAN, QUIET);
    assert.deepEqual(failed(reports), []);
    assert.equal(reports.length, 6);
  });

  const cases: readonly (readonly [string, Partial<EmbeddedGuest>, string])[] = [
    ['a wrong address', { resolve: async () => '10.0.0.1' }, 'resolve'],
    ['no reply', { ping: () => Promise.reject(new Error('100% loss')) }, 'ping-gateway'],
    ['bytes missing', { download: async () => ({ bytes: 4999, sha256: SUM, ms: 5 }) }, 'download'],
    ['another sum', { upload: async () => ({ bytes: 5000, sha256: 'f0', ms: 5 }) }, 'upload'],
  ];
  for (const [what, changes, step] of cases) {
    it(`${what} fails ${step}`, async () => {
      assert.equal(failed(await runGuestSteps(makeGuest(changes), PLAN, QUIET))[0], step);
    });
  }

  it('nothing is tried after a failed lease', async () => {
    const lease = () => Promise.reject(new Error('no answer'));
    const reports = await runGuestSteps(makeGuest({ lease }), PLAN, QUIET);
    assert.deepEqual(
      reports.map((report) => [report.step, report.ok, report.detail]),
      [['lease', false, 'no answer']],
    );
  });

  it('a figure has a rate where bytes moved', () => {
    assert.equal(
      figure({ step: 's', ok: true, ms: 2000, detail: '', bytes: 4e6 }),
      '2000 ms, 2 MB/s',
    );
    assert.equal(figure({ step: 's', ok: true, ms: 0.5, detail: '' }), '0.50 ms');
  });

  it('a failed step says so', () => {
    const line = reportLine({ step: 'upload', ok: false, ms: 1, detail: 'reset' });
    assert.match(line, /FAIL upload .*reset\n$/);
  });
});

describe('VM console', () => {
  it('a result line is found after console noise and carriage returns', () => {
    assert.deepEqual(parseResult('\x1b[KHAWSER step=lease ok=1 ms=210 mtu=1500 x=a=b\r'), {
      step: 'lease',
      ok: true,
      ms: 210,
      words: { mtu: '1500', x: 'a=b' },
    });
  });

  it('other lines are none', () => {
    assert.equal(parseResult('HAWSER end'), undefined);
    assert.equal(parseResult('[    0.1] Linux version'), undefined);
  });

  it('a step may override the time taken', () => {
    assert.equal(parseResult('HAWSER step=download ok=1 ms=9 ms=5 bytes=1')?.ms, 5);
  });

  const judge = (line: string): Promise<StepReport> => {
    const result = parseResult(line);
    assert.ok(result);
    return judgeVmStep(result, PLAN, SUM);
  };
  it('the sum of a download is compared', async () => {
    assert.ok((await judge(`HAWSER step=download ok=1 ms=5 bytes=5000 sha256=${SUM}`)).ok);
    assert.ok(!(await judge('HAWSER step=download ok=1 ms=5 bytes=5000 sha256=00')).ok);
    assert.ok(!(await judge(`HAWSER step=upload ok=0 ms=5 bytes=5000 sha256=${SUM}`)).ok);
  });
});

describe('seeded stream', () => {
  const read = (seed: number, size: number): Uint8Array => {
    const stream = new SeededStream(seed, size);
    const parts: Uint8Array[] = [];
    for (let part = stream.next(); part !== undefined; part = stream.next()) parts.push(part);
    return Buffer.concat(parts);
  };

  it('is as long as asked, and the same for the same seed', () => {
    for (const size of [0, 1, 4096, (1 << 20) + 1]) {
      assert.equal(read(3, size).length, size);
      assert.deepEqual(read(3, size), read(3, size));
    }
    assert.notDeepEqual(read(3, 64), read(4, 64));
  });

  it('no two pages are alike', () => {
    const bytes = read(5, 2 << 20);
    const pages = new Set<string>();
    for (let off = 0; off < bytes.length; off += 4096) {
      pages.add(Buffer.from(bytes.subarray(off, off + 4096)).toString('latin1'));
    }
    assert.equal(pages.size, 512);
  });
});

describe('lease line', () => {
  it('is understood', () => {
    const line = 'HAWSER-LEASE address=10.0.2.15 prefix=24 router=10.0.2.2 dns=10.0.2.3 mtu=';
    assert.deepEqual(parseLease(line, 'udhcpc'), {
      address: '10.0.2.15',
      prefixLen: 24,
      router: '10.0.2.2',
      dns: '10.0.2.3',
      mtu: 0,
      client: 'udhcpc',
    });
  });

  it('other lines are none', () =>
    assert.equal(parseLease('udhcpc: started', 'udhcpc'), undefined));
});
