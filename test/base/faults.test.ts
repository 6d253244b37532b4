import assert from 'node:assert/strict';
import { FaultWatch, MAX_FAULT_PLACES, reportFault } from '../../src/base/faults.ts';
import { Timer, TimerWheel } from '../../src/base/timer-wheel.ts';
import { RecordingLog } from '../support/recording-log.ts';

const broken = (): Error => new Error('here');
const alsoBroken = (): Error => new Error('there');

describe('base/faults', () => {
  let log: RecordingLog;
  let watch: FaultWatch;

  beforeEach(() => {
    log = new RecordingLog();
    watch = new FaultWatch(log);
  });
  afterEach(() => watch.close());

  it('counts each by its seam, and logs each place once, with its stack', () => {
    for (let i = 0; i < 3; i++) reportFault('frame', broken());
    reportFault('frame', alsoBroken());
    reportFault('timer', broken());
    assert.deepEqual(watch.counts.snapshot(), { frame: 4, timer: 1 });
    assert.equal(log.lines.length, 3);
    const [first] = log.lines;
    assert.equal(first?.level, 'error');
    const { seam, err } = { seam: '', err: undefined, ...first?.fields };
    assert.equal(seam, 'frame');
    assert.match((err as unknown as Error).stack ?? '', /faults\.test/);
  });

  it(`remembers ${MAX_FAULT_PLACES} places, and counts the others only`, () => {
    for (let i = 0; i < MAX_FAULT_PLACES + 10; i++) reportFault('frame', `what ${i}`);
    assert.equal(log.lines.length, MAX_FAULT_PLACES);
    assert.equal(watch.counts.get('frame'), MAX_FAULT_PLACES + 10);
  });

  it('goes on as the exception that it is where nobody watches', () => {
    watch.close();
    const error = broken();
    assert.throws(
      () => reportFault('frame', error),
      (thrown) => thrown === error,
    );
  });

  it('a timer that throws keeps none of the others', () => {
    let fired = 0;
    class Broken extends Timer {
      override onDeadline(): void {
        fired++;
        if (fired === 2) throw broken();
      }
    }
    const wheel = new TimerWheel(0);
    for (let i = 0; i < 3; i++) wheel.set(new Broken(), 10);
    wheel.advance(100);
    assert.equal(fired, 3);
    assert.equal(watch.counts.get('timer'), 1);
  });
});
