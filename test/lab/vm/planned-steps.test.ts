import assert from 'node:assert/strict';
import type { StepReport } from '../../../src/lab/step-report.ts';
import { checkVmStep } from '../../../src/lab/vm/planned-steps.ts';
import { parseResult } from '../../../src/lab/vm/start-vm.ts';
import { PLAN, SUM } from '../sample-plan.ts';

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

  const check = (line: string): Promise<StepReport> => {
    const result = parseResult(line);
    assert.ok(result);
    return checkVmStep(result, PLAN, SUM);
  };
  it('a step of IPv6 is compared with what IPv6 should have', async () => {
    assert.ok((await check('HAWSER step=resolve-ipv6 ok=1 ms=5 address=fd12:3456::254')).ok);
    assert.ok(!(await check('HAWSER step=resolve-ipv6 ok=1 ms=5 address=192.168.127.254')).ok);
    assert.ok((await check(`HAWSER step=download-ipv6 ok=1 ms=5 bytes=5000 sha256=${SUM}`)).ok);
  });

  it('a step that cannot be taken is left out', async () => {
    const report = await check('HAWSER step=address-ipv6 ok=0 ms=5 error=left_out:_no_IPv6_');
    assert.equal(report.skipped, true);
    assert.equal(report.detail, 'left out: no IPv6');
  });

  it('the sum of a download is compared', async () => {
    assert.ok((await check(`HAWSER step=download ok=1 ms=5 bytes=5000 sha256=${SUM}`)).ok);
    assert.ok(!(await check('HAWSER step=download ok=1 ms=5 bytes=5000 sha256=00')).ok);
    assert.ok(!(await check(`HAWSER step=upload ok=0 ms=5 bytes=5000 sha256=${SUM}`)).ok);
  });
});
