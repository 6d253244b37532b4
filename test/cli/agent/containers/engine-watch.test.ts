import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Server, type ServerResponse } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  EngineWatch,
  type EngineWatchTimes,
} from '../../../../src/cli/agent/containers/engine-watch.ts';
import { publishedPorts } from '../../../../src/cli/agent/containers/published-ports.ts';
import { Publications } from '../../../../src/cli/agent/publications.ts';
import { RecordingLog } from '../../../support/recording-log.ts';
import { FakeHost } from '../fake-host.ts';

const TIMES = { firstRetryMs: 2, lastRetryMs: 10, pauseMs: 1, listMs: 1_000 };
const RETRIES = { answerMs: 2_000, lookMs: 2, firstRetryMs: 2, lastRetryMs: 10 };

/** An engine that lists what it is given, and keeps who has subscribed. */
class FakeEngine {
  readonly path: string;
  ports: readonly object[] = [];
  readonly asked: string[] = [];
  listStatus = 200;
  endsEvents = false;
  private readonly subscribers = new Set<ServerResponse>();
  private server: Server | undefined;

  constructor(dir: string) {
    this.path = join(dir, 'docker.sock');
  }

  start(): Promise<void> {
    const server = createServer((request, response) => {
      const path = request.url?.replace(/\?.*/, '') ?? '';
      this.asked.push(path);
      const status = path === '/events' ? 200 : this.listStatus;
      response.writeHead(status, { 'content-type': 'application/json' });
      if (path === '/events' && this.endsEvents) response.end();
      else if (path === '/events') {
        response.flushHeaders();
        this.subscribers.add(response);
        response.once('close', () => this.subscribers.delete(response));
      } else response.end(JSON.stringify([{ Ports: this.ports }]));
    });
    this.server = server;
    return new Promise((resolve) => server.listen(this.path, resolve));
  }

  publish(...numbers: readonly number[]): void {
    this.ports = numbers.map((number) => ({ IP: '0.0.0.0', PublicPort: number, Type: 'tcp' }));
  }

  event(): void {
    for (const subscriber of this.subscribers) subscriber.write('{"Action":"start"}\n');
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
      onList: (list) => publications.reconcile(publishedPorts(list, 100)),
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

  const count = (path: string): number => engine.asked.filter((one) => one === path).length;

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
});
