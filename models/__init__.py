"""Text to labels: topics and sentiment of Chinese and English financial news."""
