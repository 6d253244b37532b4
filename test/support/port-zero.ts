/** A datagram that no socket of UDP sends: from port 0, by a raw socket. */
import { execFileSync } from 'node:child_process';
import type { Requirement } from './requirements.ts';

export const PORT_ZERO: readonly Requirement[] = ['linux', 'root', 'perl'];

const RAW = `use Socket;
socket(my $raw, PF_INET, SOCK_RAW, 17) or die $!;
my ($port, $text) = @ARGV;
send($raw, pack("nnnn", 0, $port, 8 + length $text, 0) . $text, 0, sockaddr_in(0, INADDR_LOOPBACK)) or die $!;
`;

/** To 127.0.0.1. It is in the receiver's queue when this returns. */
export function sendFromPortZero(port: number, text: string): void {
  execFileSync('perl', ['-e', RAW, String(port), text]);
}
