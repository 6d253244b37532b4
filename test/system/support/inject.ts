/** Frames as they are, into a guest's link: what no kernel of its own would send. */
import type { Guest } from './lab.ts';

/** packet(7): `sockaddr_ll` of the device, to which each frame is sent. */
const SEND = `use strict; my ($if, @frames) = @ARGV;
open(my $file, '<', "/sys/class/net/$if/ifindex") or die $!; my $index = <$file>;
socket(my $socket, 17, 3, 0) or die $!;
my $to = pack('S n i S C C a8', 17, 3, $index, 0, 0, 6, '');
for (@frames) { send($socket, pack('H*', $_), 0, $to) or die $!; }`;

export async function inject(guest: Guest, ...frames: readonly Uint8Array[]): Promise<void> {
  const hex = frames.map((frame) => Buffer.from(frame).toString('hex'));
  // /sys is that of the namespace in a mount of its own.
  const mounted = 'mount -t sysfs none /sys && exec "$@"';
  await guest.run('unshare', '-m', 'sh', '-c', mounted, 'sh', 'perl', '-e', SEND, 'eth0', ...hex);
}
