"""Key drivers of survey answers, and the touchpoints of the customer journey."""
