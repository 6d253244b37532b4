/** `hawser agent --watch-kubernetes`, in the guest of a real daemon. */
import assert from 'node:assert/strict';
import { copyFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { LAB, systemSuite } from '../support/requirements.ts';
import { Cluster } from './support/cluster.ts';
import type { Daemon } from './support/daemon.ts';
import { type Guest, Lab } from './support/lab.ts';
import type { Background } from './support/processes.ts';
import { published } from './support/published.ts';
import { until } from './support/until.ts';

const MUX_PORT = 4099;
const DIST = new URL('../../', import.meta.url);
/** The first guest's. */
const NODE = '192.168.127.2';
const NODE_PORT = 30_080;
const UDP_PORT = 30_053;
/** Stands in for kube-proxy, at the address of the node alone. */
const PROXY = `
  const address = process.argv[1];
  require('node:http').createServer((request, response) => response.end('hello\\n'))
    .listen(${NODE_PORT}, address);
  const udp = require('node:dgram').createSocket('udp4');
  udp.on('message', (bytes, { port, address: to }) => udp.send(bytes, port, to));
  udp.bind(${UDP_PORT}, address, () => process.stdout.write('serving'));`;

systemSuite('agent --watch-kubernetes', [...LAB, 'curl', 'nc', 'openssl'], function () {
  this.timeout(120_000);
  let lab: Lab;
  let guest: Guest;
  let daemon: Daemon;
  let cluster: Cluster;
  let agent: Background;

  before(async () => {
    lab = await Lab.open();
    const api = ['--guest-api', 'on', '--mux', `guest:${MUX_PORT}`];
    ({ guest, daemon } = await lab.standard(api));
    cluster = new Cluster(lab, guest);
    // As they are copied into a guest: two files, and nothing else.
    for (const name of ['hawser-agent.mjs', 'hawser-agent-kubernetes.mjs']) {
      copyFileSync(fileURLToPath(new URL(name, DIST)), lab.path(name));
    }
    agent = guest.start(agentArgv(cluster.kubeconfig));
    await agent.prints(/multiplexer up/);
    await guest.start([process.execPath, '-e', PROXY, NODE]).prints(/serving/);
    await cluster.start(); // later than the agent
    await cluster.createNode('one', NODE);
  });
  after(() => lab?.close());

  const agentArgv = (...kubeconfig: readonly string[]): readonly string[] => [
    ...[process.execPath, lab.path('hawser-agent.mjs')],
    ...['--listen', `tcp:0.0.0.0:${MUX_PORT}`, '--watch-kubernetes', ...kubeconfig],
  ];
  const becomes = async (...expected: readonly string[]): Promise<void> => {
    await until(`ports ${expected.join(', ')}`, async () => {
      const ports = await published(daemon, 'mux');
      return ports.join() === expected.toSorted().join();
    });
  };
  const answers = async (port: number): Promise<void> => {
    await until(`port ${port} to answer`, async () => {
      const url = `http://127.0.0.1:${port}/`;
      return (await lab.host.run('curl', '-sS', '-m', '5', url)) === 'hello\n';
    });
  };
  const service = (type: string, ...ports: readonly object[]): object => ({
    spec: { type, ports, selector: { app: 'web' } },
  });
  const WEB = { name: 'http', port: 8_088, nodePort: NODE_PORT };

  it('a Service of type NodePort is reached, changed, and gone', async () => {
    await cluster.create('services', 'web', service('NodePort', WEB));
    await answers(NODE_PORT);
    await cluster.change('services', 'web', (text) => text.replace('"NodePort"', '"LoadBalancer"'));
    await becomes(`127.0.0.1 ${WEB.port}/tcp`);
    await answers(WEB.port);
    await cluster.remove('services', 'web');
    await becomes();
  });

  it('UDP', async () => {
    const dns = { name: 'dns', protocol: 'UDP', port: 53, nodePort: UDP_PORT };
    await cluster.create('services', 'dns', service('NodePort', dns));
    await becomes(`127.0.0.1 ${UDP_PORT}/udp`);
    await until('the datagram to come back', async () => {
      const script = `echo ping | nc -u -w 1 127.0.0.1 ${UDP_PORT}`;
      return (await lab.host.run('sh', '-c', script)) === 'ping\n';
    });
    await cluster.remove('services', 'dns');
    await becomes();
  });

  it('annotations rename, and leave out', async () => {
    await cluster.create('services', 'web', service('NodePort', WEB));
    await becomes(`127.0.0.1 ${NODE_PORT}/tcp`);
    const annotate = (value: string): Promise<void> =>
      cluster.change('services', 'web', (text) => {
        const object = JSON.parse(text);
        object.metadata.annotations = { 'hawser.port.http': value };
        return JSON.stringify(object);
      });
    await annotate('8090');
    await answers(8_090);
    await annotate('no');
    await becomes();
    await cluster.remove('services', 'web');
  });

  it('an API server that is killed and comes back', async () => {
    await cluster.create('services', 'old', service('NodePort', WEB));
    await becomes(`127.0.0.1 ${NODE_PORT}/tcp`);
    await cluster.stop();
    await answers(NODE_PORT); // what there was stays
    await cluster.start();
    await cluster.remove('services', 'old');
    const other = { ...WEB, nodePort: 30_081 };
    await cluster.create('services', 'new', service('NodePort', other));
    await becomes('127.0.0.1 30081/tcp');
    assert.ok(daemon.isRunning, daemon.stderr);
  });

  it('by several files of $KUBECONFIG, of which one is missing', async () => {
    await cluster.createNode('one', NODE); // the one before was of the killed API server
    await cluster.create('services', 'web', service('LoadBalancer', WEB));
    await answers(WEB.port);
    await agent.stop();
    await becomes();
    const mine = lab.path('contexts');
    const contexts = [{ name: 'mine', context: { cluster: 'c', user: 'u' } }];
    writeFileSync(mine, JSON.stringify({ contexts, 'current-context': 'mine' }));
    const KUBECONFIG = [lab.path('missing'), mine, cluster.kubeconfig].join(':');
    agent = guest.start(agentArgv(), { env: { KUBECONFIG } });
    await answers(WEB.port);
  });

  it('with the service account of a pod', async () => {
    await agent.stop();
    await becomes();
    agent = guest.start(cluster.inPod(agentArgv()));
    await answers(WEB.port);
  });
});
