/** SSH forwards as gvproxy's options name them. */

import type { PortBook } from '../../proxy/ports/port-table.ts';
import { PublishError } from '../../proxy/ports/publish-spec.ts';
import { parseGuest, pathProblem } from '../../proxy/ports/publish-text.ts';
import { SSH_PORT } from '../../proxy/ports/ssh-tunnel.ts';

export interface SshForwardRequest {
  /** The Unix socket on the host: a path, or `unix://PATH`. */
  readonly listen: string;
  /** The guest: an address, or what `parseGuest` accepts else. */
  readonly host: string;
  /** Of its SSH server. Default: 22. */
  readonly port?: number | undefined;
  readonly user: string;
  /** The file of the private key. */
  readonly identity: string;
  readonly passphrase?: string | undefined;
  /** The Unix socket in the guest. */
  readonly guestSocket: string;
}

export interface SshForward {
  /** Listen no more. Connections go on. */
  close(): void;
}

/**
 * It accepts when this resolves, whether the guest is there or not: clients wait for it.
 *
 * @throws PublishError
 */
export async function openSshForward(
  { ports }: { readonly ports: Pick<PortBook, 'publish' | 'unpublish'> },
  request: SshForwardRequest,
): Promise<SshForward> {
  const { host, port = SSH_PORT, user, identity, passphrase, guestSocket } = request;
  if (identity === '') throw problemOf('key not provided for unix-ssh connection');
  if (guestSocket === '' || guestSocket === '/') {
    throw problemOf('remote uri must contain a path to a socket file');
  }
  const guest = parseGuest(host);
  if (guest === undefined) throw problemOf(`invalid remote addr ${host}`);
  const [, scheme, rest = ''] = /^([a-z+-]+):\/\/(.*)$/.exec(request.listen) ?? [];
  if (scheme !== undefined && scheme !== 'unix') {
    throw problemOf(`URI scheme not supported: ${scheme}`);
  }
  const hostPath = scheme === undefined ? request.listen : rest;
  const why = pathProblem(hostPath);
  if (why !== undefined) throw problemOf(`error listening on socket: ${hostPath}: it ${why}`);
  const { id } = await ports.publish(
    {
      ...{ protocol: 'unix', hostPath, ...guest, guestPort: port, guestPath: guestSocket },
      ssh: { user, keyFile: identity, passphrase },
    },
    'config',
  );
  return { close: () => void ports.unpublish(id) };
}

const problemOf = (why: string): PublishError => new PublishError('ERR_HAWSER_PUBLISH_SYNTAX', why);
