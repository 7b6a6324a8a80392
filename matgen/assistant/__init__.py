"""The assistant: answers and explanations in which every sentence rests on a cited passage or a computed number."""
