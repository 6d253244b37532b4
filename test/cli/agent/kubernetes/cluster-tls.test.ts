import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { openCluster } from '../../../../src/cli/agent/kubernetes/cluster-client.ts';
import { ClusterPorts } from '../../../../src/cli/agent/kubernetes/cluster-ports.ts';
import { Authority, base64Of, type Certified } from '../../../support/certificates.ts';
import { KubeApi } from '../../../support/kube-api.ts';
import { RecordingLog } from '../../../support/recording-log.ts';
import { describeNeeding } from '../../../support/requirements.ts';
import { FakeHost } from '../fake-host.ts';

const TIMES = {
  ...{ firstRetryMs: 5, lastRetryMs: 20, listMs: 10_000 },
  ...{ watchS: 60, graceMs: 10_000, shortMs: 0 },
};
const WEB = { type: 'NodePort', ipFamilies: ['IPv4'], ports: [{ port: 80, nodePort: 30_080 }] };
const NODE = { status: { addresses: [{ type: 'InternalIP', address: '10.1.2.3' }] } };
const PUBLISHED = '127.0.0.1:30080:10.1.2.3:30080/tcp';

describeNeeding('agent: an API server by TLS', ['openssl'], () => {
  let dir: string;
  let authority: Authority;
  let stranger: Authority;
  let admin: Certified;
  let api: KubeApi;
  let host: FakeHost;
  let log: RecordingLog;
  let ports: ClusterPorts;

  before(() => {
    dir = mkdtempSync(join(tmpdir(), 'hawser-kube-tls-'));
    authority = new Authority(dir);
    stranger = new Authority(dir, 'stranger');
    admin = authority.certify('admin', '/O=system:masters/CN=admin');
    authority.certify('server', '/CN=kube-apiserver', 'IP:127.0.0.1', 'DNS:kubernetes');
    authority.certify('named', '/CN=kube-apiserver', 'DNS:kubernetes');
  });
  after(() => rmSync(dir, { recursive: true, force: true }));

  beforeEach(async () => {
    host = new FakeHost(join(dir, 'host.sock'));
    await host.start();
    log = new RecordingLog();
    await serve('server');
  });
  afterEach(async () => {
    ports.close();
    await api.stop();
    await host.stop();
  });

  const serve = async (name: string): Promise<void> => {
    const own = { key: join(dir, `${name}.key`), certificate: join(dir, `${name}.crt`) };
    api = new KubeApi({ own, clients: authority.own.certificate });
    api.apply('nodes', 'one', NODE);
    api.apply('services', 'web', { spec: WEB });
    await api.start();
  };
  const watch = (cluster: object, user: object): void => {
    const kubeconfig = join(dir, 'config');
    writeFileSync(kubeconfig, api.kubeconfigWith(cluster, user));
    ports = new ClusterPorts({
      ...{ log, connect: host.connect, kubeconfig, times: TIMES },
      library: { openCluster },
    });
    ports.start();
  };
  const eventually = async (condition: () => boolean): Promise<void> => {
    while (!condition()) await new Promise((resolve) => setTimeout(resolve, 1));
  };
  const published = (...expected: readonly string[]): Promise<void> =>
    eventually(() => host.ports.toSorted().join() === expected.toSorted().join());
  const said = (why: RegExp): Promise<void> =>
    eventually(() => log.lines.some(({ fields }) => why.test(JSON.stringify(fields))));

  const known = (): object => ({
    'certificate-authority-data': base64Of(authority.own.certificate),
  });
  const certified = ({ key, certificate }: Certified): object => ({
    'client-certificate-data': base64Of(certificate),
    'client-key-data': base64Of(key),
  });

  it("certificates in the kubeconfig, as kubeadm's and k3s' are", async () => {
    watch(known(), certified(admin));
    await published(PUBLISHED);
    await eventually(() => api.asked.some((one) => one.startsWith('watch services')));
    api.apply('services', 'web', { spec: { ...WEB, ports: [{ port: 80, nodePort: 30_081 }] } });
    await published('127.0.0.1:30081:10.1.2.3:30081/tcp');
  });

  it('files beside the kubeconfig', async () => {
    const user = {
      'client-certificate': basename(admin.certificate),
      'client-key': basename(admin.key),
    };
    watch({ 'certificate-authority': basename(authority.own.certificate) }, user);
    await published(PUBLISHED);
  });

  it('a token', async () => {
    watch(known(), { token: api.token });
    await published(PUBLISHED);
  });

  it('a file with a token, which is another one later', async () => {
    const path = join(dir, 'token');
    writeFileSync(path, `${api.token}\n`);
    watch(known(), { tokenFile: basename(path) });
    await published(PUBLISHED);
    api.token = 'other';
    api.endWatches();
    await said(/401: Unauthorized/);
    writeFileSync(path, 'other\n');
    api.apply('services', 'web', { spec: { ...WEB, ports: [{ port: 80, nodePort: 30_081 }] } });
    await published('127.0.0.1:30081:10.1.2.3:30081/tcp');
  });

  it('a server that is named otherwise than its address', async () => {
    await api.stop();
    await serve('named');
    watch(known(), certified(admin));
    await said(/127\.0\.0\.1 is not in the cert's list/);
    ports.close();
    watch({ ...known(), 'tls-server-name': 'kubernetes' }, certified(admin));
    await published(PUBLISHED);
  });

  it('a server of another authority is not believed: it says so, and asks nothing', async () => {
    const other = { 'certificate-authority-data': base64Of(stranger.own.certificate) };
    watch(other, { ...certified(admin), token: api.token });
    await said(/certificate/);
    assert.deepEqual(api.asked, []);
  });

  it('a client of another authority: it says so, and is served when it has its certificate', async () => {
    watch(known(), certified(stranger.certify('intruder', '/O=system:masters/CN=admin')));
    await said(/the API server answers 401: Unauthorized/);
    assert.deepEqual(host.ports, []);
    writeFileSync(join(dir, 'config'), api.kubeconfigWith(known(), certified(admin)));
    await published(PUBLISHED);
  });
});
