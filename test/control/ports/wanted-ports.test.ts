import assert from 'node:assert/strict';
import { Allowance } from '../../../src/base/shares/allowance.ts';
import { WantedPorts } from '../../../src/control/ports/wanted-ports.ts';
import type { PublicationEnd, PublishedPort } from '../../../src/proxy/ports/port-table.ts';
import {
  formatHostSide,
  type PortSpec,
  PublishError,
  type PublishSpec,
} from '../../../src/proxy/ports/publish-spec.ts';
import { parsePublish } from '../../../src/proxy/ports/publish-text.ts';
import { WaitingPorts } from '../../../src/proxy/ports/waiting-ports.ts';
import { RecordingLog } from '../../support/recording-log.ts';
import { VirtualTimers } from '../../support/virtual-timers.ts';

const specs = (...texts: readonly string[]): PortSpec[] =>
  texts.map((text) => {
    const [spec] = parsePublish(text);
    assert.ok(spec !== undefined && spec.protocol !== 'unix');
    return spec;
  });

/** A host that gives what nobody else has. */
class Host {
  readonly published = new Map<string, (why: PublicationEnd) => void>();
  readonly refusals = new Map<string, string>();
  readonly own = new Set<string>();
  tries = 0;

  async publish(
    spec: PublishSpec,
    _leased: boolean,
    onEnd?: (why: PublicationEnd) => void,
  ): Promise<PublishedPort> {
    this.tries++;
    const place = formatHostSide(spec);
    const code = this.refusals.get(place);
    if (code !== undefined) throw new PublishError(code, `cannot publish ${place}: no`);
    await Promise.resolve();
    this.published.set(place, onEnd ?? (() => {}));
    return describe1(spec, place);
  }

  unpublish(id: string): boolean {
    return this.published.delete(id);
  }

  find(protocol: 'tcp' | 'udp', address: unknown, port: number): PublishedPort | undefined {
    const place = `${address}:${port}/${protocol}`;
    const [spec] = specs('127.0.0.1:1:1');
    return this.own.has(place) && spec !== undefined ? describe1(spec, place) : undefined;
  }

  end(place: string, why: PublicationEnd): void {
    const onEnd = this.published.get(place);
    this.published.delete(place);
    onEnd?.(why);
  }
}

const describe1 = (spec: PublishSpec, id: string): PublishedPort => ({
  ...spec,
  id,
  owner: { agent: 'unix:/a' },
  leased: true,
  outdated: false,
  useAgent: true,
  target: undefined,
  onlyLoopback: undefined,
  effectiveSource: 'preserve',
  active: 0,
});

describe('control/ports/wanted-ports', () => {
  let host: Host;
  let timers: VirtualTimers;
  let waiting: WaitingPorts;
  let log: RecordingLog;
  let wanted: WantedPorts;

  beforeEach(() => {
    host = new Host();
    timers = new VirtualTimers();
    waiting = new WaitingPorts();
    log = new RecordingLog();
    wanted = new WantedPorts({
      access: host,
      owner: { agent: 'unix:/a' },
      name: 'unix:/a',
      waiting,
      pace: new Allowance(1_000, 1_000),
      clock: { now: () => timers.now },
      timers,
      log,
    });
  });
  afterEach(() => wanted.close());

  const published = (): string[] => [...host.published.keys()];
  const waits = (): string[] =>
    [...waiting.list()].map(({ spec, problem }) => `${formatHostSide(spec)} ${problem.code}`);

  it('publishes exactly what is wanted', async () => {
    await wanted.replace(specs('127.0.0.1:1:1', '127.0.0.1:2:2'), 0);
    const outcome = await wanted.replace(specs('127.0.0.1:2:2', '127.0.0.1:3:3'), 0);
    assert.deepEqual(published(), ['127.0.0.1:2/tcp', '127.0.0.1:3/tcp']);
    assert.deepEqual([outcome.published, outcome.waiting, host.tries], [2, [], 3]);
  });

  it('takes what changes: each once, and those that it does not have are nothing', async () => {
    await wanted.replace(specs('127.0.0.1:1:1', '127.0.0.1:2:2'), 0);
    wanted.remove(specs('127.0.0.1:1:1', '127.0.0.1:9:9', '127.0.0.1:2:7'));
    assert.deepEqual([published(), wanted.size], [['127.0.0.1:2/tcp'], 1]);
    const outcome = await wanted.add(specs('127.0.0.1:2:2', '127.0.0.1:3:3', '127.0.0.1:3:3'), 4);
    assert.deepEqual(published(), ['127.0.0.1:2/tcp', '127.0.0.1:3/tcp']);
    assert.deepEqual([outcome.published, wanted.leftOut, host.tries], [2, 4, 3]);
  });

  it('withdraws at once', async () => {
    await wanted.replace(specs('127.0.0.1:1:1'), 0);
    void wanted.replace([], 0);
    assert.deepEqual(published(), []);
  });

  it('another target of the same place replaces it', async () => {
    await wanted.replace(specs('127.0.0.1:1:1'), 0);
    await wanted.replace(specs('127.0.0.1:1:2'), 0);
    assert.deepEqual([published(), host.tries], [['127.0.0.1:1/tcp'], 2]);
  });

  it('what is refused waits, is shown, and is taken when it is free', async () => {
    host.refusals.set('127.0.0.1:1/tcp', 'EADDRINUSE');
    const outcome = await wanted.replace(specs('127.0.0.1:1:1', '127.0.0.1:2:2'), 0);
    assert.deepEqual([outcome.published, outcome.waiting.length], [1, 1]);
    assert.deepEqual(waits(), ['127.0.0.1:1/tcp EADDRINUSE']);
    await timers.advance(1_000);
    host.refusals.clear();
    await timers.advance(1_000);
    assert.deepEqual([waits(), published().length], [[], 2]);
    const tries = host.tries;
    await timers.advance(60_000);
    assert.equal(host.tries, tries);
  });

  it('what is not allowed is tried again rarely', async () => {
    host.refusals.set('127.0.0.1:1/tcp', 'ERR_HAWSER_PUBLISH_FORBIDDEN');
    await wanted.replace(specs('127.0.0.1:1:1'), 0);
    await timers.advance(14_000);
    assert.equal(host.tries, 1);
    await timers.advance(2_000);
    assert.equal(host.tries, 2);
  });

  it('tries so many of those that wait in a second', async () => {
    const many = Array.from({ length: 200 }, (_, i) => `127.0.0.1:${2000 + i}:1`);
    for (const text of many) host.refusals.set(`${text.slice(0, -2)}/tcp`, 'EADDRINUSE');
    await wanted.replace(specs(...many), 0);
    assert.equal(host.tries, 200);
    await timers.advance(1_000);
    assert.equal(host.tries, 264);
    await timers.advance(3_000);
    assert.equal(host.tries, 264 + 3 * 64);
  });

  it('a place that the publisher has by a request of its own is no conflict', async () => {
    host.refusals.set('127.0.0.1:1/tcp', 'EADDRINUSE');
    host.own.add('127.0.0.1:1/tcp');
    await wanted.replace(specs('127.0.0.1:1:1'), 0);
    assert.deepEqual([waits(), log.lines], [[], []]);
    host.refusals.clear();
    await timers.advance(6_000);
    assert.deepEqual(published(), ['127.0.0.1:1/tcp']);
  });

  it('one that the user withdraws stays withdrawn until it has left the set', async () => {
    await wanted.replace(specs('127.0.0.1:1:1'), 0);
    host.end('127.0.0.1:1/tcp', 'withdrawn');
    await timers.advance(60_000);
    await wanted.replace(specs('127.0.0.1:1:1', '127.0.0.1:2:2'), 0);
    assert.deepEqual(published(), ['127.0.0.1:2/tcp']);
    await wanted.replace([], 0);
    await wanted.replace(specs('127.0.0.1:1:1'), 0);
    assert.deepEqual(published(), ['127.0.0.1:1/tcp']);
  });

  it('one that gives way to others waits, and comes again', async () => {
    await wanted.replace(specs('127.0.0.1:1:1'), 0);
    host.end('127.0.0.1:1/tcp', 'evicted');
    assert.deepEqual(waits(), ['127.0.0.1:1/tcp ERR_HAWSER_PUBLISH_LIMIT']);
    await timers.advance(6_000);
    assert.deepEqual([published(), waits()], [['127.0.0.1:1/tcp'], []]);
  });

  it('one that is wanted no more while it is bound is withdrawn', async () => {
    const replaced = wanted.replace(specs('127.0.0.1:1:1'), 0);
    await wanted.replace([], 0);
    await replaced;
    assert.deepEqual(published(), []);
  });

  it('binds no faster than it may', async () => {
    const slow = new WantedPorts({
      access: host,
      owner: { agent: 'unix:/b' },
      name: 'unix:/b',
      waiting,
      pace: new Allowance(2, 10),
      clock: { now: () => timers.now },
      timers,
      log,
    });
    const done = slow.replace(specs('127.0.0.1:1:1', '127.0.0.1:2:2', '127.0.0.1:3:3'), 0);
    await timers.advance(0);
    assert.equal(published().length, 2);
    await timers.advance(100);
    await done;
    assert.equal(published().length, 3);
    slow.close();
    assert.deepEqual(published(), []);
  });

  it('ports that hosts mostly have are one quiet line, others one each', async () => {
    const ports = [22, 53, 80, 323, 5353, 5355];
    const texts = ports.map((port) => `127.0.0.1:${port}:${port}`);
    for (const spec of specs(...texts, '127.0.0.1:8080:80')) {
      host.refusals.set(formatHostSide(spec), 'ERR_HAWSER_PUBLISH_FORBIDDEN');
    }
    await wanted.replace(specs(...texts, '127.0.0.1:8080:80'), 0);
    assert.deepEqual(
      log.lines.map(({ level, message }) => [level, message]),
      [
        ['info', 'a port of the guest waits'],
        ['info', 'ports that hosts mostly have themselves are not published'],
      ],
    );
    assert.match(JSON.stringify(log.lines[1]?.fields), /"22, 53, 80, 323, 5353, 5355"/);
  });

  it('says once that more are wanted than may be, and how many', async () => {
    await wanted.replace(specs('127.0.0.1:1:1'), 5);
    await wanted.replace(specs('127.0.0.1:2:2'), 6);
    assert.deepEqual(
      log.lines.map(({ level }) => level),
      ['warn'],
    );
    assert.deepEqual(
      [...waiting.beyond()].map(({ leftOut }) => leftOut),
      [6],
    );
    wanted.close();
    assert.deepEqual([...waiting.beyond()], []);
  });

  it('when it is closed nothing is left', async () => {
    host.refusals.set('127.0.0.1:1/tcp', 'EADDRINUSE');
    await wanted.replace(specs('127.0.0.1:1:1', '127.0.0.1:2:2'), 0);
    wanted.close();
    host.refusals.clear();
    await timers.advance(5_000);
    assert.deepEqual([published(), waits()], [[], []]);
  });
});
