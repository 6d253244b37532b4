/** {@link KubeApi} by TLS as a process, `kube-api-main.js PORT KUBECONFIG PKI`: with the certificates of a {@link Cluster}. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { base64Of } from '../../support/certificates.ts';
import { KubeApi } from '../../support/kube-api.ts';

const [, , port = '', kubeconfig = '', pki = ''] = process.argv;
const authority = join(pki, 'authority.crt');
const own = { key: join(pki, 'server.key'), certificate: join(pki, 'server.crt') };
const api = new KubeApi({ own, clients: authority });
await api.start('127.0.0.1', Number(port));
const admin = {
  'client-certificate-data': base64Of(join(pki, 'admin.crt')),
  'client-key-data': base64Of(join(pki, 'admin.key')),
};
const cluster = { 'certificate-authority-data': base64Of(authority) };
writeFileSync(kubeconfig, api.kubeconfigWith(cluster, admin));
