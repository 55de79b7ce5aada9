// Mastra; a tool waits for approval. Its bridge is served as users would serve it: one POST, one event stream.

import http from "node:http";
import { MastraAgent } from "@ag-ui/mastra";
import { Mastra } from "@mastra/core";
import { Agent } from "@mastra/core/agent";
import { InMemoryStore } from "@mastra/core/storage";
import { createTool } from "@mastra/core/tools";
import { z } from "zod";

const almanac = createTool({
  id: "almanac",
  description: "When high water is.",
  inputSchema: z.object({ port: z.string() }),
  execute: async ({ port }) => `high water in ${port} at 06:12`,
});
const launch = createTool({
  id: "launch",
  description: "Launches a ship.",
  inputSchema: z.object({ ship: z.string(), reason: z.string() }),
  requireApproval: true,
  execute: async ({ ship, reason }) => `${ship} afloat for ${reason}`,
});
const agent = new Agent({
  id: "harbor",
  name: "harbor",
  instructions: "Be brief.",
  tools: { almanac, launch },
  model: { id: "openai/scripted", url: process.env.OPENAI_BASE_URL, apiKey: "any" },
  maxRetries: 0,
});
const mastra = new Mastra({ agents: { harbor: agent }, storage: new InMemoryStore(), logger: false });

const server = http.createServer(async (request, response) => {
  let body = "";
  for await (const piece of request) body += piece;
  const write = (event) => response.write(`data: ${JSON.stringify(event)}\n\n`);
  response.writeHead(200, { "Content-Type": "text/event-stream" });
  const bridge = new MastraAgent({ agent: mastra.getAgent("harbor"), agentId: "harbor", resourceId: "ada" });
  bridge.run(JSON.parse(body)).subscribe({
    next: write,
    error: (failure) => {
      write({ type: "RUN_ERROR", message: String(failure?.message ?? failure) });
      response.end();
    },
    complete: () => response.end(),
  });
});
server.listen(0, "127.0.0.1", () => console.log(`serves http://127.0.0.1:${server.address().port}/`));
