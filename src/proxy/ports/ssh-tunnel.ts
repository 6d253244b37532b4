/**
 * `ssh-tunnel://USER@GUEST[:PORT]/PATH?key=FILE[&passphrase=TEXT]`: a Unix socket in a guest, by way of its SSH server. The
 * form is gvproxy's.
 */
import { parseAddress } from '../../services/address-text.ts';
import { type GuestChoice, parseGuestName } from './publication-guest.ts';
import type { GuestSide, SshLogin } from './publish-spec.ts';

export const SSH_TUNNEL = 'ssh-tunnel://';
export const SSH_TUNNEL_FORM = 'ssh-tunnel://USER@GUEST[:PORT]/PATH?key=FILE';
export const SSH_PORT = 22;

export type SshSide = GuestSide & { readonly guestPath: string; readonly ssh: SshLogin };

export type SshTunnelProblem = 'not-a-url' | 'no-key' | 'no-path' | 'no-guest' | 'no-user';

/** In words of ours. */
export const TUNNEL_PROBLEMS: Readonly<Record<SshTunnelProblem, string>> = {
  'not-a-url': 'it is not a URL',
  'no-key': 'it names no private key: ?key=FILE',
  'no-path': 'it names no Unix socket of the guest',
  'no-guest': 'its guest is neither an address nor a name',
  'no-user': 'it names no user: USER@GUEST',
};

export function parseSshTunnel(text: string): SshSide | SshTunnelProblem {
  if (!text.startsWith(SSH_TUNNEL) || !URL.canParse(text)) return 'not-a-url';
  const url = new URL(text);
  const keyFile = url.searchParams.get('key') ?? '';
  if (keyFile === '') return 'no-key';
  const guestPath = decoded(url.pathname);
  if (guestPath === '' || guestPath === '/') return 'no-path';
  const guest = guestOf(url.hostname);
  if (guest === undefined) return 'no-guest';
  const user = decoded(url.username);
  if (user === '') return 'no-user';
  const passphrase = url.searchParams.get('passphrase') ?? '';
  return {
    ...guest,
    guestPort: url.port === '' ? SSH_PORT : Number(url.port),
    guestPath,
    ssh: { user, keyFile, passphrase: passphrase === '' ? undefined : passphrase },
  };
}

/** Without the passphrase. @param server `192.168.127.2:22` */
export const formatSshTunnel = (server: string, path: string, login: SshLogin): string =>
  `${SSH_TUNNEL}${encodeURIComponent(login.user)}@${server}${path}?key=${login.keyFile}`;

function guestOf(host: string): GuestChoice | undefined {
  const guestAddress = parseAddress(host.replace(/^\[|\]$/g, ''));
  if (guestAddress !== undefined) return { guestAddress };
  const guest = parseGuestName(decoded(host));
  return guest === undefined ? undefined : { guestAddress: undefined, guest };
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
