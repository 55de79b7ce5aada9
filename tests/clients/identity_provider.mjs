// A real identity provider, https://www.npmjs.com/package/oidc-provider: clients `web` and `app`, tokens for `agents`.
// node identity_provider.mjs PORT KID ALGORITHM; a new KID is a rotated key. Prints its address when it listens.
import { generateKeyPairSync } from "node:crypto";
import Provider from "oidc-provider";

const [port, kid, algorithm] = process.argv.slice(2);
const { privateKey } = algorithm.startsWith("ES")
  ? generateKeyPairSync("ec", { namedCurve: "P-256" })
  : generateKeyPairSync("rsa", { modulusLength: 2048 });

const client = (client_id) => ({
  client_id,
  client_secret: `secret-of-${client_id}`,
  grant_types: ["client_credentials"],
  redirect_uris: [],
  response_types: [],
  id_token_signed_response_alg: algorithm,
});

const issuer = `http://127.0.0.1:${port}`;
const provider = new Provider(issuer, {
  clients: [client("web"), client("app")],
  jwks: { keys: [{ ...privateKey.export({ format: "jwk" }), kid, use: "sig", alg: algorithm }] },
  features: {
    devInteractions: { enabled: false },
    clientCredentials: { enabled: true },
    resourceIndicators: {
      enabled: true,
      useGrantedResource: () => true,
      getResourceServerInfo: (_, resource) => ({
        scope: "run",
        audience: resource.replace("urn:", ""),
        accessTokenTTL: 300,
        accessTokenFormat: "jwt",
        jwt: { sign: { alg: algorithm } },
      }),
    },
  },
});
provider.listen(Number(port), "127.0.0.1", () => console.log(issuer));
