// Preloaded: makes every server listen on a free port of 127.0.0.1, whatever
// it asks for, and say which.
const net = require("node:net");

const listen = net.Server.prototype.listen;
net.Server.prototype.listen = function (...args) {
  this.once("listening", () => console.log(`loopback 127.0.0.1:${this.address().port}`));
  const ready = args.find((a) => typeof a === "function");
  return listen.call(this, { host: "127.0.0.1", port: 0 }, ready);
};
