/** A daemon whose guest has asked for many names, by a policy of as many rules or by none. */
import { request } from 'node:http';
import { fileURLToPath } from 'node:url';
import { startTapWith } from '../peers/hawser.ts';
import type { Started } from '../peers/peer.ts';
import type { Lab } from '../rig/lab.ts';
import { startEchoServers } from '../rig/netbench.ts';
import { bigPolicy, DOMAIN } from './big-policy.ts';
import { DnsAsker } from './dns-asker.ts';

export const NAMES = 10_000;
const MTU = 1_500;
const GATEWAY = '192.168.127.1';
const DNS_CLIENT = fileURLToPath(new URL('./dns-client.js', import.meta.url));

export interface Subject {
  readonly lab: Lab;
  readonly peer: Started;
  readonly asker: DnsAsker;
}

export async function startSubject(lab: Lab, hasPolicy: boolean): Promise<Subject> {
  lab.build();
  await startEchoServers(lab);
  const dns = ['dnsmasq', '-k', '-u', 'root', '--pid-file=', '--no-resolv', '--no-hosts'];
  const answers = ['-C', '/dev/null', `--address=/${DOMAIN}/198.51.100.7`, '--local-ttl=3600'];
  lab.start(lab.host, [...dns, ...answers, '--listen-address=127.0.0.1', '--bind-interfaces']);
  const peer = await startTapWith(lab, MTU, ['--dns', '127.0.0.1']);
  const asker = new DnsAsker(lab, peer, [DNS_CLIENT, GATEWAY, DOMAIN]);
  await asker.ask(NAMES, NAMES);
  if (hasPolicy) await putPolicy(lab, bigPolicy(NAMES));
  return { lab, peer, asker };
}

async function putPolicy(lab: Lab, document: object): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    const outgoing = request({
      socketPath: lab.path('hawser/default/api.sock'),
      method: 'PUT',
      path: '/v1/policy',
      headers: { host: 'hawser', 'content-type': 'application/json' },
    });
    outgoing.on('error', reject).on('response', (answer) => {
      answer.resume().on('end', () => {
        if (answer.statusCode === 200) resolve();
        else reject(new Error(`the policy was answered by ${answer.statusCode}`));
      });
    });
    outgoing.end(JSON.stringify(document));
  });
}
