// What openai-agents for JavaScript shows with its default model, which uses the Responses API.

import { Agent, hostedMcpTool, run, tool, user } from "@openai/agents";
import { z } from "zod";
import { agent } from "./recipe.mjs";
import { show, stopped, versionOf, weather } from "./showing.mjs";

async function* texts(question, more = {}) {
  for await (const { type, data } of await run(agent, question, { stream: true, ...more }))
    if (type === "raw_model_stream_event" && data.type === "output_text_delta") yield data.delta;
}

await show({
  version: () => versionOf("@openai/agents"),

  plain: async () => (await run(agent, "Hello")).finalOutput,

  streaming: async () => {
    const pieces = [];
    for await (const text of texts("Hello")) pieces.push(text);
    return pieces;
  },

  tools: async () => {
    const parameters = z.object({ city: z.string() });
    const tools = [tool({ name: "weather", description: "The weather of a city", parameters, execute: weather })];
    const withTools = new Agent({ name: "Weather", model: "demo", tools });
    return (await run(withTools, "What is the weather in Paris?")).finalOutput;
  },

  agent_tool: async () => {
    const result = await run(agent, "Add 19 and 23");
    const { rawItem } = result.newItems.find((item) => item.type === "tool_call_item");
    return [rawItem.providerData.name, rawItem.output, result.finalOutput];
  },

  approval: async () => {
    const asked = [];
    const onApproval = async (_context, { rawItem }) => {
      asked.push(rawItem.name);
      return { approve: true };
    };
    const server = { serverLabel: "demo", serverUrl: "http://127.0.0.1", requireApproval: "always", onApproval };
    const careful = agent.clone({ tools: [hostedMcpTool(server)] });
    return [asked, (await run(careful, "[[scenario:confirm]]")).finalOutput];
  },

  second_turn: async () => {
    const echo = new Agent({ name: "Echo", model: "echo" });
    const first = await run(echo, "When is high tide?");
    return (await run(echo, [...first.history, user("And low tide?")])).finalOutput;
  },

  reasoning: async () => {
    const { newItems } = await run(agent, "[[scenario:reasoning]]");
    const items = newItems.filter((item) => item.type === "reasoning_item");
    return items.flatMap((item) => item.rawItem.content.map((part) => part.text)).join("");
  },

  error: async () => {
    let said = "";
    try {
      for await (const text of texts("[[scenario:fail]]")) said += text;
    } catch (failed) {
      return [said, failed.message];
    }
  },

  refusal: async () => {
    try {
      await run(agent, "[[scenario:fail_start]]");
    } catch (failed) {
      return failed.message;
    }
  },

  cancel: async () => {
    let said = "";
    const abort = new AbortController();
    for await (const text of texts("[[scenario:slow]]", { signal: abort.signal })) {
      said += text;
      if (said.includes("am")) abort.abort();
    }
    return await stopped(said);
  },
});
