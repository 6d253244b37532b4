/** What containers of a rootless user do in tests: they download, and serve a page whose port is published. */
import { HTTP_PORT, OUTSIDE } from './lab.ts';
import type { RootlessUser } from './rootless.ts';

const BYTES = 100_000_000;
export const PORT = 18_080;
/** What a download prints: of the seeded stream 0. */
export const SUM: RegExp = /^fedeec56b6ddd8fd6d093419a85e277243643e774363afe47e999b70545eae0e/m;
const URL = `http://${OUTSIDE}:${HTTP_PORT}/bytes/${BYTES}`;
export const DOWNLOAD: string = `wget -q -O - ${URL} | sha256sum`;
export const HTTPD = 'echo "hello from here" >/www/index.html; exec httpd -f -p 80 -h /www';
export const IMAGE = 'hawser-test';
/** A shell command that builds the image `built` with a download in it. @param command that reads a recipe on its standard input */
export const buildBy = (command: string): string =>
  `printf 'FROM ${IMAGE}\\nRUN ${DOWNLOAD} >/sum\\n' | ${command} -q --no-cache -t built -`;
/** Both without a container, in a namespace that RootlessKit makes. */
export const BARE: string = `curl -sS ${URL} | sha256sum; mkdir -p ~/www; echo "hello from here" >~/www/index.html; exec busybox httpd -f -p 80 -h ~/www`;

/** The page, at the port of the host's loopback. */
export const published = (user: RootlessUser): Promise<string> =>
  user.run('curl', '-sS', '--max-time', '10', `http://127.0.0.1:${PORT}/`);

export const answers = (user: RootlessUser): Promise<boolean> =>
  published(user).then(
    (text) => /hello from here/.test(text),
    () => false,
  );
