/** Code of ours that throws on behalf of one flow: that flow is reset, and the others go on. */
import assert from 'node:assert/strict';
import { FaultWatch } from '../../src/base/faults.ts';
import { RecordingLog } from '../support/recording-log.ts';
import { App, established, PLAIN, Script } from '../support/script.ts';

class BrokenApp extends App {
  broken: 'onOpen' | 'onReadable' | 'onWritable' | 'onPeerEnd' | 'onClosed' | undefined;

  private check(where: BrokenApp['broken']): void {
    if (this.broken === where) throw new Error(`${where} is broken`);
  }

  override onOpen(...args: Parameters<App['onOpen']>): void {
    super.onOpen(...args);
    this.check('onOpen');
  }

  override onReadable(...args: Parameters<App['onReadable']>): void {
    this.check('onReadable');
    super.onReadable(...args);
  }

  override onWritable(): void {
    this.check('onWritable');
    super.onWritable();
  }

  override onPeerEnd(): void {
    this.check('onPeerEnd');
    super.onPeerEnd();
  }

  override onClosed(...args: Parameters<App['onClosed']>): void {
    super.onClosed(...args);
    this.check('onClosed');
  }
}

describe('stack: faults', () => {
  let watch: FaultWatch;
  beforeEach(() => {
    watch = new FaultWatch(new RecordingLog());
  });
  afterEach(() => watch.close());

  for (const [where, act] of [
    ['onReadable', (s: Script) => s.in({ flags: 'PA', seq: 1, ack: 1, data: 'x' })],
    ['onPeerEnd', (s: Script) => s.in({ flags: 'FA', seq: 1, ack: 1 })],
    ['onClosed', (s: Script) => s.in({ flags: 'R', seq: 1 })],
  ] as const) {
    it(`a handler that throws in ${where}: its connection is closed, and it hears of it`, () => {
      const app = new BrokenApp();
      const s = new Script();
      s.app = app;
      s.in({ flags: 'S', ...PLAIN });
      s.records();
      s.in({ seq: 1, ack: 1, win: 0xffff });
      app.broken = where;
      s.records();
      act(s);
      assert.equal(watch.counts.get('tcp') > 0, true);
      assert.ok(app.closed !== undefined);
      assert.equal(s.stack.tcp.connectionCount, 0);
      if (where !== 'onClosed') assert.match(s.out().at(-1) ?? '', /^R/);
    });
  }

  it('the other connections of the same batch are served', () => {
    const broken = new BrokenApp();
    const s = new Script();
    s.app = broken;
    s.in({ flags: 'S', ...PLAIN });
    s.records();
    s.in({ seq: 1, ack: 1, win: 0xffff });
    const { iss } = s;
    const good = new App();
    s.app = good;
    s.in({ sport: 50_001, flags: 'S', ...PLAIN });
    s.records();
    const other = s.iss;
    s.in({ sport: 50_001, seq: 1, ack: 1, win: 0xffff });
    broken.broken = 'onReadable';
    s.iss = iss;
    const first = s.segment({ flags: 'PA', seq: 1, ack: 1, data: 'bad' });
    s.iss = other;
    const second = s.segment({ sport: 50_001, flags: 'PA', seq: 1, ack: 1, data: 'good' });
    s.frames(first, second);
    assert.equal(good.text, 'good');
    assert.equal(good.closed, undefined);
    assert.equal(broken.closed, 'reset-by-host');
    assert.equal(s.stack.tcp.connectionCount, 1);
  });

  it('a frame that throws above is lost, and the next one is served', () => {
    const s = established();
    const { onTcpRequest } = s;
    s.onTcpRequest = () => {
      throw new Error('broken');
    };
    const syn = { sport: 50_002, flags: 'S' };
    s.in(syn);
    assert.equal(watch.counts.get('frame'), 1);
    s.onTcpRequest = onTcpRequest;
    s.in({ flags: 'PA', seq: 1, ack: 1, data: 'still here' });
    assert.equal(s.app.text, 'still here');
  });
});

describe('stack: faults where nobody watches, as in programs of hawser/stack', () => {
  it("a handler that throws: the exception is the program's, and its connection is over", () => {
    const app = new BrokenApp();
    const s = new Script();
    s.app = app;
    s.in({ flags: 'S', ...PLAIN });
    s.records();
    s.in({ seq: 1, ack: 1, win: 0xffff });
    app.broken = 'onReadable';
    assert.throws(() => s.in({ flags: 'PA', seq: 1, ack: 1, data: 'x' }), /onReadable is broken/);
    assert.equal(app.closed, 'reset-by-host');
    assert.equal(s.stack.tcp.connectionCount, 0);
    assert.match(s.out().at(-1) ?? '', /^R/);
  });
});
