import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Server, type ServerResponse } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { watchContainers } from '../../../../src/cli/agent/containers/container-ports.ts';
import {
  EngineWatch,
  type EngineWatchTimes,
  EVENT_BYTES_MAX,
} from '../../../../src/cli/agent/containers/engine-watch.ts';
import { publishedPorts } from '../../../../src/cli/agent/containers/published-ports.ts';
import { Publications } from '../../../../src/cli/agent/publications.ts';
import { RecordingLog } from '../../../support/recording-log.ts';
import { FakeHost } from '../fake-host.ts';

const TIMES = { firstRetryMs: 2, lastRetryMs: 10, pauseMs: 1, answerMs: 1_000, settleMs: 60_000 };
const RETRIES = { answerMs: 2_000, lookMs: 2, firstRetryMs: 2, lastRetryMs: 10, calmMs: 200 };

/** An engine that lists what it is given, and keeps who has subscribed. */
class FakeEngine {
  readonly path: string;
  ports: readonly object[] = [];
  readonly asked: string[] = [];
  listStatus = 200;
  endsEvents = false;
  /** What it does not answer. */
  hangsAt: string | undefined = undefined;
  tricklesList = false;
  private readonly subscribers = new Set<ServerResponse>();
  private server: Server | undefined;

  constructor(dir: string) {
    this.path = join(dir, 'docker.sock');
  }

  start(): Promise<void> {
    const server = createServer((request, response) => {
      const path = request.url?.replace(/\?.*/, '') ?? '';
      this.asked.push(path);
      if (path === this.hangsAt) return;
      const status = path === '/events' ? 200 : this.listStatus;
      response.writeHead(status, { 'content-type': 'application/json' });
      if (path === '/events' && this.endsEvents) response.end();
      else if (path === '/events') {
        response.flushHeaders();
        this.subscribers.add(response);
        response.once('close', () => this.subscribers.delete(response));
      } else if (this.tricklesList) {
        const timer = setInterval(() => response.write(' '), 5);
        response.once('close', () => clearInterval(timer));
      } else response.end(JSON.stringify([{ Ports: this.ports }]));
    });
    this.server = server;
    return new Promise((resolve) => server.listen(this.path, resolve));
  }

  publish(...numbers: readonly number[]): void {
    this.ports = numbers.map((number) => ({ IP: '0.0.0.0', PublicPort: number, Type: 'tcp' }));
  }

  event(text = '{"Action":"start"}\n'): void {
    for (const subscriber of this.subscribers) subscriber.write(text);
  }

  /** One event without an end, as fast as it is read. */
  flood(): void {
    const part = Buffer.alloc(1 << 16, 'x');
    for (const subscriber of this.subscribers) {
      const send = (): void => {
        if (subscriber.destroyed) return;
        subscriber.write(part, () => setImmediate(send));
      };
      send();
    }
  }

  stop(): Promise<void> {
    const { server } = this;
    this.server = undefined;
    if (server === undefined) return Promise.resolve();
    return new Promise((resolve) => {
      server.close(() => resolve());
      server.closeAllConnections();
    });
  }
}

describe('agent: containers that are watched', () => {
  let dir: string;
  let engine: FakeEngine;
  let host: FakeHost;
  let watch: EngineWatch;
  let publications: Publications;
  let log: RecordingLog;

  const watchWith = (times: EngineWatchTimes): EngineWatch =>
    new EngineWatch({
      log,
      path: engine.path,
      onList: (list) => publications.reconcile(publishedPorts(list, 100).ports),
      times,
    });

  beforeEach(async () => {
    dir = mkdtempSync(join(tmpdir(), 'hawser-engine-'));
    engine = new FakeEngine(dir);
    host = new FakeHost(join(dir, 'host.sock'));
    await host.start();
    log = new RecordingLog();
    publications = new Publications({
      log,
      source: 'containers',
      connect: host.connect,
      times: RETRIES,
    });
    watch = watchWith(TIMES);
  });
  afterEach(async () => {
    watch.close();
    publications.close();
    await engine.stop();
    await host.stop();
    rmSync(dir, { recursive: true, force: true });
  });

  const eventually = async (condition: () => boolean): Promise<void> => {
    while (!condition()) await new Promise((resolve) => setTimeout(resolve, 1));
  };
  const isPublished = (count: number) => (): boolean =>
    host.ports.length === count && publications.size === count;

  const count = (path: string): number => engine.asked.filter((one) => one === path).length;

  it('subscribes first, then lists', async () => {
    engine.publish(8080);
    await engine.start();
    watch.start();
    await eventually(isPublished(1));
    assert.deepEqual(engine.asked.slice(0, 2), ['/events', '/containers/json']);
    assert.deepEqual(host.ports, ['127.0.0.1:8080:127.0.0.1:8080/tcp']);
  });

  it('an event has it list again: ports come and go, and others stay', async () => {
    engine.publish(8080, 8081);
    await engine.start();
    watch.start();
    await eventually(isPublished(2));
    engine.publish(8081, 8082, 8083);
    engine.event();
    await eventually(isPublished(3));
    assert.equal(host.sets.length, 2);
    engine.publish();
    engine.event();
    await eventually(isPublished(0));
  });

  it('a list that is behind the last event is corrected without another', async () => {
    engine.publish(8080);
    await engine.start();
    watch.start();
    await eventually(isPublished(1));
    engine.event();
    await eventually(() => count('/containers/json') >= 4);
    engine.publish();
    await eventually(isPublished(0));
  });

  it('when nothing happens any more the list is not read for ever', async () => {
    await engine.start();
    watch.close();
    watch = watchWith({ ...TIMES, settleMs: 8 });
    watch.start();
    // At once, and after 1, 2, 4 and 8 ms.
    await eventually(() => count('/containers/json') === 5);
    await new Promise((resolve) => setTimeout(resolve, 100));
    assert.equal(count('/containers/json'), 5);
    engine.event();
    await eventually(() => count('/containers/json') === 10);
  });

  it('an engine that starts later, and one that restarts with other containers', async () => {
    watch.start();
    engine.publish(8080);
    await engine.start();
    await eventually(isPublished(1));
    await engine.stop();
    engine.publish(8081, 8082);
    await engine.start();
    await eventually(isPublished(2));
    assert.deepEqual(host.sets.at(-1)?.length, 2);
  });

  it('more ports than may be are counted on the host, and logged once', async () => {
    engine.publish(...Array.from({ length: 1_007 }, (_, i) => 8_000 + i));
    await engine.start();
    const containers = watchContainers(engine.path, host.connect, log);
    await eventually(() => host.ports.length === 1_000 && host.leftOut === 7);
    engine.publish(...Array.from({ length: 1_008 }, (_, i) => 8_000 + i));
    engine.event();
    await eventually(() => host.leftOut === 8);
    const warnings = log.lines.filter(({ level }) => level === 'warn');
    assert.deepEqual(
      warnings.map(({ fields }) => fields),
      [{ source: 'containers', ports: 1_000, leftOut: 7 }],
    );
    containers.close();
  });

  /** @param behave has the engine fail */
  const slowly = async (behave: () => void, path: string): Promise<number> => {
    behave();
    await engine.start();
    watch.close();
    watch = watchWith({ ...TIMES, firstRetryMs: 20, lastRetryMs: 60_000 });
    const begin = performance.now();
    watch.start();
    await eventually(() => count(path) === 4);
    return performance.now() - begin;
  };

  it('an engine that refuses the list is asked less and less often, which is logged once', async () => {
    engine.publish(8080);
    const elapsedMs = await slowly(() => {
      engine.listStatus = 403;
    }, '/containers/json');
    assert.ok(elapsedMs >= 20 + 40 + 80 - 3, `${elapsedMs} ms`);
    assert.equal(count('/events'), 1);
    const lines = log.lines.filter(({ message }) =>
      message.startsWith('containers are not listed'),
    );
    const why = 'it answers with status 403';
    assert.deepEqual(
      lines.map(({ fields }) => fields),
      [{ path: engine.path, why }],
    );
    engine.listStatus = 200;
    await eventually(isPublished(1));
  });

  it('an engine that ends each subscription is asked less and less often', async () => {
    const elapsedMs = await slowly(() => {
      engine.endsEvents = true;
    }, '/events');
    assert.ok(elapsedMs >= 20 + 40 + 80 - 3, `${elapsedMs} ms`);
  });

  it('an engine that does not answer a subscription is asked less and less often', async () => {
    engine.hangsAt = '/events';
    engine.publish(8080);
    await engine.start();
    watch.close();
    watch = watchWith({ ...TIMES, answerMs: 20, firstRetryMs: 20, lastRetryMs: 60_000 });
    const begin = performance.now();
    watch.start();
    await eventually(() => count('/events') === 3);
    const elapsedMs = performance.now() - begin;
    assert.ok(elapsedMs >= 2 * 20 + 20 + 40 - 3, `${elapsedMs} ms`);
    const whys = log.lines.map(({ fields }) => fields);
    assert.deepEqual(whys, [{ path: engine.path, why: 'it does not answer' }]);
    engine.hangsAt = undefined;
    await eventually(isPublished(1));
  });

  it('an engine that answers no list is asked again', async () => {
    engine.hangsAt = '/containers/json';
    engine.publish(8080);
    await engine.start();
    watch.close();
    watch = watchWith({ ...TIMES, answerMs: 20 });
    watch.start();
    await eventually(() => count('/containers/json') === 2);
    engine.hangsAt = undefined;
    await eventually(isPublished(1));
  });

  it('a list that comes byte by byte and does not end is asked for again', async () => {
    engine.tricklesList = true;
    engine.publish(8080);
    await engine.start();
    watch.close();
    watch = watchWith({ ...TIMES, answerMs: 50 });
    watch.start();
    await eventually(() => count('/containers/json') === 2);
    engine.tricklesList = false;
    await eventually(isPublished(1));
  });

  it('an event without an end has nothing listed, is read slowly, and ends the subscription', async () => {
    engine.publish(8080);
    await engine.start();
    watch.close();
    const never = { firstRetryMs: 60_000, lastRetryMs: 60_000, settleMs: 0 };
    watch = watchWith({ ...TIMES, pauseMs: 5, ...never });
    watch.start();
    await eventually(isPublished(1));
    const begin = performance.now();
    engine.flood();
    await eventually(() => log.lines.some(({ fields }) => 'why' in fields));
    const elapsedMs = performance.now() - begin;
    assert.deepEqual(log.lines.at(-1)?.fields, {
      path: engine.path,
      why: 'one of its events does not end',
    });
    assert.equal(count('/containers/json'), 1);
    const parts = EVENT_BYTES_MAX / 65_536;
    assert.ok(elapsedMs >= parts * 4, `${elapsedMs} ms`);
    assert.equal(publications.size, 1);
  });
});
