// Reads [{host, port, roots}] and prints one line per trial: "ok" or
// "refused" and the reason.
const fs = require("fs"), tls = require("tls");

const probe = ({ host, port, roots }) =>
  new Promise((resolve) => {
    const socket = tls.connect({
      host: "127.0.0.1",
      port,
      servername: /^[0-9.]+$|:/.test(host) ? undefined : host,
      ca: fs.readFileSync(roots),
      checkServerIdentity: (_, cert) => tls.checkServerIdentity(host, cert),
    });
    socket.on("secureConnect", () => (socket.destroy(), resolve("ok")));
    socket.on("error", (err) => resolve(`refused ${err.code} ${err.message}`));
  });

(async () => {
  for (const trial of JSON.parse(fs.readFileSync(0))) {
    console.log((await probe(trial)).replaceAll("\n", " "));
  }
})();
