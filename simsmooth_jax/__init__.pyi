from . import metrics as metrics
from .errors import InputError as InputError
from .formats.head import Head as Head
from .formats.head import restore_head as restore_head
from .formats.head import restore_head_kernel as restore_head_kernel
from .formats.saved_labels import SavedLabels as SavedLabels
from .formats.saved_labels import load_labels as load_labels
from .formats.saved_labels import save_labels as save_labels
from .method import objectives as objectives
from .method.heads.head_kernel import head_kernel as head_kernel
from .method.labels.dense_labels import onehot_labels as onehot_labels
from .method.labels.dense_labels import relation_labels as relation_labels
from .method.labels.dense_labels import relation_labels_from_kernel as relation_labels_from_kernel
from .method.labels.dense_labels import uniform_labels as uniform_labels
from .method.labels.factored_labels import factored_labels as factored_labels
from .method.labels.hierarchy_labels import distance_labels as distance_labels
from .method.labels.hierarchy_labels import superclass_labels as superclass_labels
from .method.labels.shuffled_labels import permuted_labels as permuted_labels
from .method.labels.shuffled_labels import shuffled_labels as shuffled_labels
from .method.labels.top_k_labels import top_k_labels as top_k_labels
from .method.losses.linear_loss import (
    linear_cross_entropy_with_label_table as linear_cross_entropy_with_label_table,
)
from .method.losses.softmax_loss import (
    softmax_cross_entropy_with_label_table as softmax_cross_entropy_with_label_table,
)
from .method.relations.class_vectors import class_means as class_means
from .method.relations.class_vectors import mean_predictions as mean_predictions
from .method.relations.diagnosis import Diagnosis as Diagnosis
from .method.relations.diagnosis import diagnose as diagnose
from .method.relations.similarity import cosine_similarity as cosine_similarity
from .method.tables.factored import FactoredLabels as FactoredLabels
from .method.tables.forms import target_rows as target_rows
from .method.tables.top_k import TopKLabels as TopKLabels

__version__: str
__all__: list[str]
