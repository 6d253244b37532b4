import assert from 'node:assert/strict';
import { type Log, SILENT } from '../../src/base/log.ts';
import { NativeUnavailableError } from '../../src/native/errors.ts';
import { loadPosix } from '../../src/native/load.ts';
import type { Posix } from '../../src/native/posix.ts';
import { NativeCalls } from '../../src/network/native-calls.ts';

describe('cli/native-calls', () => {
  const counting = () => {
    const loads: string[] = [];
    const load = (wanted: string): Posix => {
      loads.push(wanted);
      return loadPosix();
    };
    return { loads, load };
  };

  it('are loaded at the first need, and once', () => {
    const { loads, load } = counting();
    const native = new NativeCalls(SILENT, 1, load);
    assert.equal(loads.length, 0);
    assert.equal(native.posix, native.posix);
    assert.equal(native.posix, loadPosix());
    assert.equal(loads.length, 1);
  });

  it('are loaded soon when nobody needs them', async () => {
    const loaded = new Promise<void>((resolve) => {
      const load = (): Posix => {
        resolve();
        return loadPosix();
      };
      new NativeCalls(SILENT, 1, load).loadSoon(0);
    });
    const alive = setInterval(() => {}, 1_000); // what is loaded soon keeps no process alive
    await loaded;
    clearInterval(alive);
  });

  it('are not loaded once closed', async () => {
    const { loads, load } = counting();
    const native = new NativeCalls(SILENT, 1, load);
    native.loadSoon(0);
    native.close();
    await new Promise((resolve) => setTimeout(resolve, 0)); // timers of one delay go off in their order
    assert.equal(loads.length, 0);
  });

  it('say once, in a sentence, that there are none; at debug where it was found', () => {
    const warnings: string[] = [];
    const debug: object[] = [];
    const log: Log = {
      ...SILENT,
      warn: (fields, message) => warnings.push(`${message}${JSON.stringify(fields)}`),
      debug: (fields) => debug.push(fields),
    };
    const native = new NativeCalls(log, 1, (wanted) => {
      throw new NativeUnavailableError(wanted, 'not here');
    });
    assert.equal(native.posix, undefined);
    assert.equal(native.posix, undefined);
    assert.deepEqual(warnings, ['cannot let guests ping, or see ICMP errors for UDP: not here{}']);
    assert.equal(debug.length, 1);
  });

  it('do not hide a mistake', () => {
    const native = new NativeCalls(SILENT, 1, () => {
      throw new RangeError('mistake');
    });
    assert.throws(() => native.posix, RangeError);
  });
});
