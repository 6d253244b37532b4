import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { openCluster } from '../../../../src/cli/agent/kubernetes/cluster-client.ts';
import { ClusterPorts } from '../../../../src/cli/agent/kubernetes/cluster-ports.ts';
import { REQUEST_BOUNDS } from '../../../../src/cli/agent/kubernetes/cluster-requests.ts';
import { KubeApi, type KubeObject } from '../../../support/kube-api.ts';
import { RecordingLog } from '../../../support/recording-log.ts';
import { FakeHost } from '../fake-host.ts';

const TIMES = {
  ...{ firstRetryMs: 5, lastRetryMs: 20, listMs: 10_000 },
  ...{ watchS: 60, graceMs: 10_000, shortMs: 0 },
};
const BOUNDS = { answerBytes: 100_000, eventBytes: 10_000, answerMs: 200 };
const NODE = { status: { addresses: [{ type: 'InternalIP', address: '10.1.2.3' }] } };

const service = (type: string, ...ports: readonly object[]): KubeObject => ({
  spec: { type, ipFamilies: ['IPv4'], ports },
});

describe('agent: Services that are watched', () => {
  let dir: string;
  let kubeconfig: string;
  let api: KubeApi;
  let host: FakeHost;
  let log: RecordingLog;
  let ports: ClusterPorts;

  beforeEach(async () => {
    dir = mkdtempSync(join(tmpdir(), 'hawser-kube-'));
    kubeconfig = join(dir, 'config');
    api = new KubeApi();
    host = new FakeHost(join(dir, 'host.sock'));
    await host.start();
    log = new RecordingLog();
    ports = make();
  });
  afterEach(async () => {
    ports.close();
    await api.stop();
    await host.stop();
    rmSync(dir, { recursive: true, force: true });
  });

  const make = (times = TIMES, bounds = REQUEST_BOUNDS): ClusterPorts =>
    new ClusterPorts({
      ...{ log, connect: host.connect, kubeconfig, times },
      library: { openCluster: (path) => openCluster(path, bounds) },
    });
  const start = async (): Promise<void> => {
    await api.start();
    writeFileSync(kubeconfig, api.kubeconfig);
    api.apply('nodes', 'one', NODE);
    ports.start();
  };
  const eventually = async (condition: () => boolean): Promise<void> => {
    while (!condition()) await new Promise((resolve) => setTimeout(resolve, 1));
  };
  const published = (...expected: readonly string[]): Promise<void> =>
    eventually(() => host.ports.toSorted().join() === expected.toSorted().join());
  const askedFor = (what: RegExp): number => api.asked.filter((one) => what.test(one)).length;

  it('lists, then watches from that version on', async () => {
    api.apply('services', 'web', service('NodePort', { port: 80, nodePort: 30_080 }));
    await start();
    await published('127.0.0.1:30080:10.1.2.3:30080/tcp');
    await eventually(() => askedFor(/^watch services/) === 1);
    assert.deepEqual(
      api.asked.filter((one) => one.includes('services')),
      ['list services', 'watch services 102'],
    );
  });

  it('created, changed, of another type, deleted', async () => {
    await start();
    await eventually(() => askedFor(/^watch/) === 2);
    api.apply('services', 'web', service('NodePort', { port: 80, nodePort: 30_080 }));
    api.apply(
      'services',
      'dns',
      service('NodePort', { port: 53, protocol: 'UDP', nodePort: 30_053 }),
    );
    const udp = '127.0.0.1:30053:10.1.2.3:30053/udp';
    await published('127.0.0.1:30080:10.1.2.3:30080/tcp', udp);
    api.apply('services', 'web', service('LoadBalancer', { port: 80, nodePort: 30_080 }));
    await published('127.0.0.1:80:10.1.2.3:30080/tcp', udp);
    api.apply('services', 'web', service('ClusterIP', { port: 80 }));
    await published(udp);
    api.remove('services', 'dns');
    await published();
    assert.equal(askedFor(/^list services/), 1);
  });

  for (const by of ['status', 'event'] as const) {
    it(`a version that is too old, by ${by}: it is listed again`, async () => {
      await start();
      api.goneBy = by;
      await eventually(() => askedFor(/^watch/) === 2);
      api.compact();
      api.endWatches();
      api.apply('services', 'web', service('NodePort', { port: 80, nodePort: 30_080 }));
      await published('127.0.0.1:30080:10.1.2.3:30080/tcp');
      assert.ok(askedFor(/^list services/) >= 2);
    });
  }

  it('a watch that ends in order goes on from the last bookmark, and nothing is missed', async () => {
    await start();
    await eventually(() => askedFor(/^watch/) === 2);
    api.bookmark();
    api.compact(); // what is before the bookmark is gone
    api.bookmark();
    api.endWatches();
    await eventually(() => askedFor(/^watch services/) === 2);
    api.apply('services', 'web', service('NodePort', { port: 80, nodePort: 30_080 }));
    await published('127.0.0.1:30080:10.1.2.3:30080/tcp');
    assert.equal(askedFor(/^list services/), 1);
  });

  it('a server that goes and comes back, with other Services', async () => {
    api.apply('services', 'old', service('NodePort', { port: 80, nodePort: 30_080 }));
    api.apply('services', 'kept', service('NodePort', { port: 80, nodePort: 30_082 }));
    await start();
    const kept = '127.0.0.1:30082:10.1.2.3:30082/tcp';
    await published('127.0.0.1:30080:10.1.2.3:30080/tcp', kept);
    await eventually(() => askedFor(/^watch services/) === 1);
    await api.stop();
    api.remove('services', 'old');
    api.apply('services', 'new', service('NodePort', { port: 80, nodePort: 30_081 }));
    assert.equal(host.ports.length, 2); // while it is away, what there was stays
    await api.start();
    await published(kept, '127.0.0.1:30081:10.1.2.3:30081/tcp');
  });

  it('a kubeconfig that is none: it says so, and waits for nobody', () => {
    writeFileSync(kubeconfig, '');
    assert.throws(() => openCluster(kubeconfig), /config is no kubeconfig: /);
    const fifo = join(dir, 'fifo');
    assert.equal(spawnSync('mkfifo', [fifo]).status, 0);
    assert.throws(() => openCluster(fifo), { code: 'ERR_HAWSER_FILE_KIND' });
  });

  it('a kubeconfig that is written later', async () => {
    await api.start();
    ports.start();
    await eventually(() => log.lines.some(({ message }) => /not watched/.test(message)));
    writeFileSync(kubeconfig, api.kubeconfig);
    api.apply('services', 'web', service('NodePort', { port: 80, nodePort: 30_080 }));
    await published('127.0.0.1:30080:127.0.0.1:30080/tcp'); // there is no node
  });

  it('nodes that it may not see: the loopback is dialled', async () => {
    api.forbidden.add('nodes');
    api.apply('services', 'web', service('NodePort', { port: 80, nodePort: 30_080 }));
    await start();
    await published('127.0.0.1:30080:127.0.0.1:30080/tcp');
  });

  it('more Services than a page has', async () => {
    const expected: string[] = [];
    for (let i = 0; i < 501; i++) {
      const nodePort = 31_000 + i;
      api.apply('services', `s${i}`, service('NodePort', { port: 80, nodePort }));
      expected.push(`127.0.0.1:${nodePort}:10.1.2.3:${nodePort}/tcp`);
    }
    await start();
    await published(...expected);
    assert.equal(askedFor(/^list services from 500/), 1);
  });

  it('no more ports than there may be, and it says so', async () => {
    const many = Array.from({ length: 501 }, (_, i) => ({ port: i + 1, nodePort: 31_000 + i }));
    api.apply('services', 'one', service('NodePort', ...many));
    api.apply('services', 'two', service('LoadBalancer', ...many));
    await start();
    await eventually(() => host.ports.length === 1_000);
    assert.equal(host.leftOut, 2);
    const fields = log.lines.filter(({ level }) => level === 'warn').map((line) => line.fields);
    assert.deepEqual(fields, [{ source: 'Kubernetes', ports: 1_000, leftOut: 2 }]);
  });

  it('a server that does not end its watch: it is listed again', async () => {
    ports = make({ ...TIMES, watchS: 0.01, graceMs: 5 });
    api.apply('nodes', 'two', NODE);
    await start();
    await eventually(() => askedFor(/^list services/) >= 2 || askedFor(/^watch services/) >= 2);
  });

  for (const [what, kind, why] of [
    ['a list that is longer than one may be', 'long-list', 'its answer is too long'],
    ['a list that drips', 'dripping-list', 'no whole answer in 0.2 s'],
    ['pages without an end', 'endless-pages', 'its list takes too long'],
    ['a watch that is never answered', 'silent-watch', 'no whole answer in 0.2 s'],
    ['an event that does not end', 'endless-event', 'one of its events does not end'],
    ['an event that is none', 'odd-event', 'one of its events is not JSON'],
  ] as const) {
    it(`${what}: it says so, and tries again`, async () => {
      ports = make({ ...TIMES, listMs: 400 }, BOUNDS);
      api.apply('services', 'web', service('NodePort', { port: 80, nodePort: 30_080 }));
      api.fault = kind;
      await start();
      const said = { path: '/api/v1/services', why };
      const isSaid = (): boolean => log.lines.some(({ fields }) => isDeepStrictEqual(fields, said));
      await eventually(isSaid);
      assert.ok(api.open <= 8, `${api.open} connections are open`);
      api.fault = undefined;
      api.apply('services', 'dns', service('NodePort', { port: 53, nodePort: 30_053 }));
      await published('127.0.0.1:30080:10.1.2.3:30080/tcp', '127.0.0.1:30053:10.1.2.3:30053/tcp');
    });
  }
});
