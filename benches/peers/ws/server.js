// A gateway as one writes it with `ws`: every pixel becomes one JSON frame for each client.

import { WebSocketServer } from "ws";

const CANVAS_SIDE = 256;

const [host, port] = process.argv[2].split(":");
const canvas = new Array(CANVAS_SIDE * CANVAS_SIDE).fill("#FFFFFF");
const server = new WebSocketServer({ host, port: Number(port), backlog: 4096, perMessageDeflate: false });

server.on("connection", (socket) => {
  socket.on("error", () => socket.terminate());
  socket.on("message", (data) => {
    const { type, x, y, color, username = "Anonymous" } = JSON.parse(data);
    if (type !== "pixel_update" || !(x >= 0 && x < CANVAS_SIDE && y >= 0 && y < CANVAS_SIDE)) return;
    canvas[y * CANVAS_SIDE + x] = color;
    const frame = JSON.stringify({ type: "pixel_updated", x, y, color, username, timestamp: Date.now() });
    for (const client of server.clients) client.send(frame);
  });
  socket.send(JSON.stringify({ type: "connected", message: "welcome" }));
});
