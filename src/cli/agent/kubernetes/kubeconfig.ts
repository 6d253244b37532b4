/**
 * The kubeconfig that is to be used, read by Kubernetes' official client, but for what that does otherwise than kubectl:
 * several files of `$KUBECONFIG` (it refuses a name that two have, and a file that is missing, and prefers the last
 * current-context), and `tokenFile`.
 */
import { existsSync } from 'node:fs';
import { homedir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { KubeConfig } from '@kubernetes/client-node/dist/config.js';
import { readSmallFile } from '../../../native/read-small-file.ts';
import { errorCode, messageOf } from '../../../network/errors.ts';
import { tokensIn } from './token-files.ts';

/** Of the user; of k3s, kubeadm, k0s and MicroK8s on this machine. */
const PLACES = [
  join(homedir(), '.kube/config'),
  '/etc/rancher/k3s/k3s.yaml',
  '/etc/kubernetes/admin.conf',
  '/var/lib/k0s/pki/admin.conf',
  '/var/snap/microk8s/current/credentials/client.config',
] as const;
const SERVICE_ACCOUNT = '/var/run/secrets/kubernetes.io/serviceaccount/token';

/**
 * @param path '' looks at the known places
 * @throws Error when there is none, or it cannot be read
 */
export function readKubeconfig(path: string): KubeConfig {
  if (path !== '') return new FileConfig(readSmallFile(path), path);
  const listed = (process.env['KUBECONFIG'] ?? '').split(delimiter).filter((file) => file !== '');
  if (listed.length > 0) return mergedOf(listed);
  const place = PLACES.find((one) => existsSync(one));
  if (place !== undefined) return new FileConfig(readSmallFile(place), place);
  if (!existsSync(SERVICE_ACCOUNT)) throw noneAt(PLACES);
  const config = new KubeConfig();
  config.loadFromCluster();
  return config;
}

/** Of the text of a file: the client would wait for the writer of a FIFO, deaf to everything. */
class FileConfig extends KubeConfig {
  constructor(text: string, file: string) {
    super();
    try {
      this.loadFromString(text);
    } catch (cause) {
      throw new Error(`${file} is no kubeconfig: ${messageOf(cause)}`, { cause });
    }
    this.makePathsAbsolute(dirname(file));
    const tokens = tokensIn(text, dirname(file));
    this.users = this.users.map((user) => {
      const token = tokens.get(user.name);
      return token === undefined ? user : { ...user, token };
    });
  }
}

/** As kubectl merges them: what a file in front names is its own as a whole; files that are missing or empty have nothing. */
function mergedOf(files: readonly string[]): KubeConfig {
  const texts = files.map((file) => ({ file, text: textOf(file) }));
  if (texts.every(({ text }) => text === undefined)) throw noneAt(files);
  const configs = texts.flatMap(({ file, text = '' }) =>
    text === '' ? [] : [new FileConfig(text, file)],
  );
  const merged = new KubeConfig();
  merged.loadFromOptions({
    clusters: firstOfEachName(configs.flatMap(({ clusters }) => clusters)),
    users: firstOfEachName(configs.flatMap(({ users }) => users)),
    contexts: firstOfEachName(configs.flatMap(({ contexts }) => contexts)),
    currentContext: configs.map(({ currentContext }) => currentContext).find(Boolean),
  });
  return merged;
}

/** @returns undefined: it is missing */
function textOf(file: string): string | undefined {
  try {
    return readSmallFile(file);
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return undefined;
    throw error;
  }
}

const firstOfEachName = <T extends { readonly name: string }>(all: readonly T[]): T[] => [
  ...new Map(all.toReversed().map((one) => [one.name, one])).values(),
];

const noneAt = (places: readonly string[]): Error =>
  new Error(`no kubeconfig is there: ${places.join(', ')}`);
